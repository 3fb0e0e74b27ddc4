"""Feast's compute engine that materializes inside PostgreSQL, without a row leaving it.

Named in feature_store.yaml, so that `feast materialize` and the SDK use it. Views whose source
is a table or query of the online store's own database go in one transaction of set-based SQL.
Any other view is written in a transaction of its own: its rows are copied where they are elsewhere
or Feast's messages have to be made of them (copy.py), or computed by Feast where it is
transformed or aggregated. Either transaction has values, ledger and Feast's intervals in it, or
nothing.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import psycopg
from feast.infra.common.materialization_job import (
    MaterializationJob,
    MaterializationJobStatus,
    MaterializationTask,
)
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from psycopg import Connection
from pydantic import StrictStr

from streamflow.engine import merge as engine_merge
from streamflow.engine import transaction
from streamflow.engine.ledger import Result
from streamflow.engine.plan import Window
from streamflow.engine.source import narrowed
from streamflow.engine.transaction import Errors
from streamflow.engine.write import inside
from streamflow.feast.engine import compute as engine_feast
from streamflow.feast.engine import copy as engine_copy
from streamflow.feast.engine import plan as engine_plan
from streamflow.feast.engine.besides import PlannedTask, besides
from streamflow.feast.engine.compute import Write
from streamflow.feast.online.connect import options
from streamflow.feast.registry import stock_apply as feast_apply
from streamflow.feast.registry.layouts import layout_in
from streamflow.online.pool import configure
from streamflow.postgres import clock as ahead
from streamflow.postgres import migrate as schema
from streamflow.registry.stores import LOOKBACK_S


class StreamflowEngineConfig(FeastConfigBaseModel):
    """The `batch_engine` part of feature_store.yaml."""

    type: StrictStr = "streamflow.feast.StreamflowEngine"
    lookback_s: float = LOOKBACK_S
    """See streamflow/registry/stores.py."""


class StreamflowEngine(LocalComputeEngine):
    """Materializes all views of a call at once; `results` has the counts of the last call."""

    results: dict[str, Result]
    """By feature view."""

    def __init__(self, *, lookback_s: float = LOOKBACK_S, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        feast_apply.require_settings(self.repo_config)
        self.lookback = timedelta(seconds=lookback_s)
        self.results = {}

    @property
    def supports_batch(self) -> bool:
        """Feast hands over all views of a call together."""
        return True

    @property
    def applies_materialization(self) -> bool:
        """The intervals are recorded in the transaction that writes the values."""
        return True

    def materialize(
        self,
        registry: BaseRegistry,
        tasks: MaterializationTask | list[MaterializationTask],
        **kwargs: Any,
    ) -> list[MaterializationJob]:
        """Materializes every task's view; one that fails leaves its values as they were.

        The others are done all the same. Those that go inside PostgreSQL are all done in one
        transaction, unless one of them fails.
        """
        self.results = {}
        tasks = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        errors: Errors = {}
        planned: list[PlannedTask] = []
        with psycopg.connect(**options(self.repo_config), autocommit=True) as connection:
            configure(connection)
            schema.require_usable(connection)
            home = registry_schema(connection, registry)
            limit = ahead.limit(connection)
            for task in tasks:
                try:
                    planned.append(self._plan(connection, registry, task, limit))
                except Exception as error:
                    errors |= transaction.failed([task.feature_view.name], error)
            write = partial(self._write, connection, registry, home)
            inside = [one for one in planned if one.source]
            with self._prepared(connection, inside) as (ready, unready):
                errors |= unready
                for group in (ready, *([one] for one in planned if not one.source)):
                    results, failed = transaction.materialize(connection, group, home, write)
                    self.results |= results
                    errors |= failed
        registry.refresh(tasks[0].project if tasks else None)
        return [job(task, errors.get(task.feature_view.name)) for task in tasks]

    def _plan(
        self,
        connection: Connection,
        registry: BaseRegistry,
        task: MaterializationTask,
        limit: datetime,
    ) -> PlannedTask:
        recorded = engine_plan.recorded_as(self.repo_config, registry, task)
        force = self.repo_config.online_store.force
        seen_at, lookback = engine_merge.seen(connection, task.project, recorded, self.lookback)
        seen_at = None if force else seen_at
        view = task.feature_view
        start, end = map(engine_plan.in_utc, (task.start_time, task.end_time))
        plan = partial(
            PlannedTask,
            task.project,
            view.name,
            engine_plan.table_of(view),
            recorded,
            view.online,
            layout_in(self.repo_config, view),
            Window(start, end, seen_at, lookback, limit),
            task=task,
        )
        try:
            if not engine_plan.is_here(self.repo_config):
                engine_plan.require_plain(view)
                engine_plan.require_ours(self.repo_config)
                return plan(None, "its source is in another database", is_plain=True)
            with connection.transaction():
                source = narrowed(
                    connection,
                    engine_plan.source_of(
                        connection, self.repo_config, task, seen_at, lookback, recorded, limit
                    ),
                )
        except engine_plan.NotInside as reason:
            return plan(None, str(reason))
        messages = [one.column for one in source.features if one.is_message]
        if messages and engine_plan.is_ours(self.repo_config):
            return plan(None, f"{messages[0]} becomes a message of Feast's", is_plain=True)
        return plan(None if messages else source)

    def _prepared(
        self, connection: Connection, inside: list[PlannedTask]
    ) -> AbstractContextManager[tuple[list[PlannedTask], Errors]]:
        """Prepares views before the transaction; gives those that are ready, and errors."""
        return nullcontext((inside, {}))

    def _write(
        self,
        connection: Connection,
        registry: BaseRegistry,
        home: str | None,
        planned: Sequence[PlannedTask],
        seen_at: datetime,
    ) -> list[Result]:
        """Writes the rows of views; a registry that is elsewhere is told of them by Feast."""
        engine_plan.look_in(connection, self.repo_config)
        force = self.repo_config.online_store.force
        if planned[0].source is not None:
            found = inside(connection, planned, seen_at, force)
        else:
            found = [
                besides(
                    connection, self.repo_config, one, seen_at, force, self._rows(registry, one)
                )
                for one in planned
            ]
        if home is None:
            for one, result in zip(planned, found, strict=True):
                view = one.task.feature_view
                registry.apply_materialization(view, one.project, result.start, result.end)
        return found

    def _rows(self, registry: BaseRegistry, planned: PlannedTask) -> Callable[[Write], None]:
        """The function that hands over the rows of a view which leave the database."""
        task, window = planned.task, planned.window
        if planned.is_plain:
            seen = (window.seen_at, window.lookback, window.limit)
            return partial(engine_copy.copy, self.repo_config, task, *seen)
        context = self.get_execution_context(registry, task)
        until = engine_copy.until(task, window.limit)
        return partial(engine_feast.run, context, registry, until, self._get_backend(context))


def registry_schema(connection: Connection, registry: BaseRegistry) -> str | None:
    """The schema of Feast's SQL registry where that is in this very database."""
    engine = getattr(registry, "read_engine", None)
    if engine is None or engine.dialect.name != "postgresql":
        return None
    with engine.connect() as other:
        schema, *there = other.exec_driver_sql(f"SELECT current_schema(), {IDENTITY}").one()
    here = connection.execute(f"SELECT {IDENTITY}").fetchone()
    return schema if tuple(there) == here else None


IDENTITY = "pg_postmaster_start_time()::text, current_database()"
"""A server and one of its databases."""


def job(task: MaterializationTask, error: Exception | None) -> MaterializationJob:
    """Feast's description of a task that ended."""
    return LocalMaterializationJob(
        job_id=f"{task.feature_view.name}-{task.start_time}-{task.end_time}",
        status=MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED,
        error=error,
    )
