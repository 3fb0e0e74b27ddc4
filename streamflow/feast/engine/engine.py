"""Feast's compute engine that materializes inside PostgreSQL, without a row leaving it.

Named in feature_store.yaml, so that `feast materialize` and the SDK use it. Views whose source
is a table or query of the online store's own database go in one transaction of set-based SQL.
Any other view is written in a transaction of its own: its rows are copied where they are elsewhere
or Feast's messages have to be made of them (copy.py), or computed by Feast where it is
transformed or aggregated. Either transaction has values, ledger and Feast's intervals in it, or
nothing.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
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
from psycopg import Connection, IsolationLevel, sql
from pydantic import StrictStr

from streamflow.catalog.layout import SCHEMA
from streamflow.engine import merge as engine_merge
from streamflow.engine.source import narrowed
from streamflow.feast.engine import compute as engine_feast
from streamflow.feast.engine import copy as engine_copy
from streamflow.feast.engine import ledger as engine_ledger
from streamflow.feast.engine import plan as engine_plan
from streamflow.feast.engine import write as engine_write
from streamflow.feast.engine.compute import Write
from streamflow.feast.engine.ledger import Result
from streamflow.feast.engine.write import Planned
from streamflow.feast.online.connect import options
from streamflow.feast.registry import stock_apply as feast_apply
from streamflow.feast.registry.layouts import layout_in
from streamflow.online.pool import configure
from streamflow.postgres import clock as ahead
from streamflow.postgres import migrate as schema
from streamflow.postgres import options as connection_options
from streamflow.postgres.connect import first_line

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""Beside pushes, of which one to the same rows makes an attempt fail; the next keeps them out."""
SETTINGS = (
    ("work_mem", "64MB"),
    # Feast may compute for longer than a server lets others' transactions do nothing.
    ("idle_in_transaction_session_timeout", "0"),
    connection_options.UTC,
    connection_options.CHECKED,
)
"""Of a materialization's transaction."""


class StreamflowEngineConfig(FeastConfigBaseModel):
    """The `batch_engine` part of feature_store.yaml."""

    type: StrictStr = "streamflow.feast.StreamflowEngine"
    lookback_s: float = 86_400.0
    """Rows loaded up to so long before the last materialization are looked at again: a
    transaction's rows carry the time of its beginning, but can be seen only from its end."""


class StreamflowEngine(LocalComputeEngine):
    """Materializes all views of a call at once; `results` has the counts of the last call."""

    results: dict[str, Result]
    """By feature view."""

    def __init__(self, *, lookback_s: float = 86_400.0, **kwargs: Any) -> None:
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
        errors: dict[str, Exception] = {}
        planned: list[Planned] = []
        with psycopg.connect(**options(self.repo_config), autocommit=True) as connection:
            configure(connection)
            schema.require_usable(connection)
            home = engine_ledger.registry_schema(connection, registry)
            limit = ahead.limit(connection)
            for task in tasks:
                try:
                    planned.append(self._plan(connection, registry, task, limit))
                except Exception as error:
                    errors |= failed([task], error)
            done = partial(self._done, connection, registry, home)
            errors |= done([one for one in planned if one.source])
            for one in planned:
                errors |= {} if one.source else done([one])
        registry.refresh(tasks[0].project if tasks else None)
        return [job(task, errors.get(task.feature_view.name)) for task in tasks]

    def _plan(
        self,
        connection: Connection,
        registry: BaseRegistry,
        task: MaterializationTask,
        limit: datetime,
    ) -> Planned:
        recorded = engine_plan.recorded_as(self.repo_config, registry, task)
        force = self.repo_config.online_store.force
        seen_at = None if force else engine_merge.seen_at(connection, task.project, recorded)
        view = task.feature_view
        plan = partial(Planned, task, recorded, layout_in(self.repo_config, view), limit, seen_at)
        try:
            if not engine_plan.is_here(self.repo_config):
                engine_plan.require_plain(view)
                engine_plan.require_ours(self.repo_config)
                return plan(None, "its source is in another database", is_plain=True)
            with connection.transaction():
                source = narrowed(
                    connection,
                    engine_plan.source_of(
                        connection, self.repo_config, task, seen_at, self.lookback, recorded, limit
                    ),
                )
        except engine_plan.NotInside as reason:
            return plan(None, str(reason))
        messages = [one.column for one in source.features if one.is_message]
        if messages and engine_plan.is_ours(self.repo_config):
            return plan(None, f"{messages[0]} becomes a message of Feast's", is_plain=True)
        return plan(None if messages else source)

    def _done(
        self,
        connection: Connection,
        registry: BaseRegistry,
        home: str | None,
        planned: Sequence[Planned],
    ) -> dict[str, Exception]:
        """Materializes views in one transaction, or each in its own if that fails; the errors."""
        try:
            results = self._together(connection, registry, home, planned) if planned else []
        except Exception as error:
            if len(planned) == 1 or connection.closed:
                return failed([one.task for one in planned], error)
            log.info("views go one by one", extra={"reason": first_line(error)})
            errors = [self._done(connection, registry, home, [one]) for one in planned]
            return {view: error for found in errors for view, error in found.items()}
        self.results |= {result.task.feature_view.name: result for result in results}
        return {}

    def _together(
        self,
        connection: Connection,
        registry: BaseRegistry,
        home: str | None,
        planned: Sequence[Planned],
    ) -> list[Result]:
        """Writes values, ledger and intervals of the views, all or nothing."""
        connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        for attempt in range(1, ATTEMPTS + 2):
            try:
                with connection.transaction():
                    connection.execute(connection_options.set_local(SETTINGS))
                    self._lock(connection, planned, alone=attempt > ATTEMPTS)
                    if home:
                        engine_ledger.hold(connection, home, [one.task for one in planned])
                    found = self._write(connection, registry, planned)
                    engine_ledger.record(connection, registry, home, found)
                    return found
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                if attempt > ATTEMPTS:
                    raise
                log.info("others write the same rows, trying again", extra={"attempt": attempt})
        raise AssertionError("unreachable")

    def _lock(self, connection: Connection, planned: Sequence[Planned], alone: bool) -> None:
        """Waits until no other materialization writes the same tables.

        It comes before all queries: the transaction's snapshot is taken by the first, which neither
        SET nor LOCK is, and must not be older than what the other one wrote. Pushes go on unless
        `alone`.
        """
        tables = sorted({one.layout.table for one in planned if one.task.feature_view.online})
        if tables:
            connection.execute(
                sql.SQL("LOCK TABLE {} IN {} MODE").format(
                    sql.SQL(", ").join(sql.Identifier(SCHEMA, table) for table in tables),
                    sql.SQL("SHARE ROW EXCLUSIVE" if alone else "SHARE UPDATE EXCLUSIVE"),
                )
            )

    def _write(
        self, connection: Connection, registry: BaseRegistry, planned: Sequence[Planned]
    ) -> list[Result]:
        engine_plan.look_in(connection, self.repo_config)
        now = connection.execute("SELECT now()").fetchone()
        seen_at = now[0] if now else datetime.now(UTC)
        force = self.repo_config.online_store.force
        if planned[0].source is not None:
            return engine_write.inside(connection, planned, seen_at, force)
        return [
            engine_write.besides(
                connection, self.repo_config, one, seen_at, force, self._rows(registry, one)
            )
            for one in planned
        ]

    def _rows(self, registry: BaseRegistry, planned: Planned) -> Callable[[Write], None]:
        """The function that hands over the rows of a view which leave the database."""
        task, limit = planned.task, planned.limit
        if planned.is_plain:
            seen = (planned.seen_at, self.lookback, limit)
            return partial(engine_copy.copy, self.repo_config, task, *seen)
        context = self.get_execution_context(registry, task)
        until = engine_copy.until(task, limit)
        return partial(engine_feast.run, context, registry, until, self._get_backend(context))


def failed(tasks: Sequence[MaterializationTask], error: Exception) -> dict[str, Exception]:
    """The error of views that were left as they were, which is logged for each of them."""
    for task in tasks:
        name = task.feature_view.name
        log.error("view not materialized", extra={"view": name, "reason": first_line(error)})
    return {task.feature_view.name: error for task in tasks}


def job(task: MaterializationTask, error: Exception | None) -> MaterializationJob:
    """Feast's description of a task that ended."""
    return LocalMaterializationJob(
        job_id=f"{task.feature_view.name}-{task.start_time}-{task.end_time}",
        status=MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED,
        error=error,
    )
