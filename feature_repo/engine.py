"""Feast's compute engine that materializes inside PostgreSQL, without a row leaving it.

Named in feature_store.yaml, so that `feast materialize` and the SDK use it. Views whose source
is a table or query of the online store's own database go in one transaction of set-based SQL;
any other view (transformed, aggregated, from another source) goes Feast's own way through the
online store, with the same result.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
from psycopg import Connection, IsolationLevel
from pydantic import StrictStr

from feature_repo import engine_ledger, engine_plan, engine_sql, online_pool, schema, tracing
from feature_repo.database import lock_key
from feature_repo.engine_ledger import Result
from feature_repo.engine_sql import Source
from feature_repo.engine_window import narrowed
from feature_repo.online_plan import layout_in

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""In a consistent snapshot, which fails when somebody writes the same rows; then without."""


class StreamflowEngineConfig(FeastConfigBaseModel):
    """The `batch_engine` part of feature_store.yaml."""

    type: StrictStr = "feature_repo.engine.StreamflowEngine"
    lookback_s: float = 86_400.0
    """Rows loaded up to so long before the last materialization are looked at again: a
    transaction's rows carry the time of its beginning, but can be seen only from its end."""


@dataclass(frozen=True)
class Planned:
    """A task and how it is done: inside PostgreSQL, or Feast's way for a reason."""

    task: MaterializationTask
    source: Source | None
    reason: str = ""


class StreamflowEngine(LocalComputeEngine):
    """Materializes all views of a call at once; `results` has the counts of the last call."""

    results: dict[str, Result]
    """By feature view."""

    def __init__(self, *, lookback_s: float = 86_400.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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

        Views that go inside PostgreSQL succeed or fail together.
        """
        self.results = {}
        tasks = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        jobs: dict[str, MaterializationJob] = {}
        with psycopg.connect(
            **online_pool.options(self.repo_config), autocommit=True
        ) as connection:
            schema.require_usable(connection)
            planned = [self._plan(connection, task) for task in tasks]
            inside = [one for one in planned if one.source is not None]
            if inside:
                error = self._inside(connection, registry, inside)
                jobs |= {one.task.feature_view.name: job(one.task, error) for one in inside}
            for one in planned:
                if one.source is None:
                    error = self._feasts_way(connection, registry, one, **kwargs)
                    jobs[one.task.feature_view.name] = job(one.task, error)
        registry.refresh(tasks[0].project if tasks else None)
        return [jobs[task.feature_view.name] for task in tasks]

    def _plan(self, connection: Connection, task: MaterializationTask) -> Planned:
        view = task.feature_view
        force = self.repo_config.online_store.force
        seen_at = None if force else engine_ledger.seen_at(connection, task.project, view.name)
        try:
            source = engine_plan.source_of(
                connection, self.repo_config, task, seen_at, self.lookback
            )
            return Planned(task, narrowed(connection, source))
        except engine_plan.NotInside as reason:
            return Planned(task, None, str(reason))

    def _inside(
        self, connection: Connection, registry: BaseRegistry, planned: Sequence[Planned]
    ) -> Exception | None:
        for attempt in range(1, ATTEMPTS + 2):
            snapshot = attempt <= ATTEMPTS
            connection.set_isolation_level(
                IsolationLevel.REPEATABLE_READ if snapshot else IsolationLevel.READ_COMMITTED
            )
            try:
                with connection.transaction():
                    found = self._write(connection, planned, checked=not snapshot)
                    engine_ledger.record(connection, registry, found)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
                log.info("others write the same rows, trying again", extra={"attempt": attempt})
                if not snapshot:
                    return error
            except psycopg.Error as error:
                return error
            else:
                self.results |= {result.view: result for result in found}
                return None
        return None

    def _write(
        self, connection: Connection, planned: Sequence[Planned], checked: bool
    ) -> list[Result]:
        # Two materializations at once do the same work twice and wait for each other's rows.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key("engine")])
        connection.execute("SET LOCAL work_mem = '64MB'")
        now = connection.execute("SELECT now()").fetchone()
        seen_at = now[0] if now else datetime.now(UTC)
        tables: dict[str, list[Planned]] = {}
        for one in planned:
            assert one.source is not None  # noqa: S101  # by the caller
            tables.setdefault(one.source.layout.table, []).append(one)
        found = []
        for group in tables.values():
            found += self._write_table(connection, group, seen_at, checked)
        return found

    def _write_table(
        self, connection: Connection, planned: Sequence[Planned], seen_at: datetime, checked: bool
    ) -> list[Result]:
        force = self.repo_config.online_store.force
        with tracing.span("look for what is new"):
            looked = [
                connection.execute(engine_sql.look(one.source, force)).fetchone() or (0, 0, 0, 0)
                for one in planned
                if one.source
            ]
        # The merge sorts and joins; what has nothing new needs none of it.
        sources = [
            one.source for one, (*_, new) in zip(planned, looked, strict=True) if one.source and new
        ]
        merged: list[int] = []
        if sources:
            query = engine_sql.merge(sources, force, checked)
            with tracing.span("merge", views=[one.layout.view for one in sources]):
                merged += connection.execute(query).fetchone() or ()
        layouts = [one.source.layout for one in planned if one.source]
        newest = engine_ledger.newest_events(connection, layouts)
        found = []
        for one, (read, late, same, new), event in zip(planned, looked, newest, strict=True):
            written, unchanged = (merged.pop(0), merged.pop(0)) if new else (0, same)
            rows = (read, written, late, unchanged, read - written - unchanged)
            found.append(Result.of(one.task, "database", seen_at, rows, event))
        return found

    def _feasts_way(
        self, connection: Connection, registry: BaseRegistry, planned: Planned, **kwargs: Any
    ) -> Exception | None:
        task, written = planned.task, self.online_store.rows_written
        name = task.feature_view.name
        log.info("view goes Feast's own way", extra={"view": name, "reason": planned.reason})
        seen_at, before = datetime.now(UTC), written.get(name, 0)
        done = super()._materialize_one(registry, task, **kwargs)
        if done.error():
            return done.error()  # type: ignore[no-any-return]
        count = written.get(name, 0) - before
        layout = layout_in(self.repo_config, task.feature_view)
        (newest,) = engine_ledger.newest_events(connection, [layout])
        result = Result.of(task, "feast", seen_at, (count, count, 0, 0, 0), newest)
        with connection.transaction():
            engine_ledger.record(connection, registry, [result])
        self.results[name] = result
        return None


def job(task: MaterializationTask, error: Exception | None) -> MaterializationJob:
    """What Feast wants to know of a task that ended."""
    return LocalMaterializationJob(
        job_id=f"{task.feature_view.name}-{task.start_time}-{task.end_time}",
        status=MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED,
        error=error,
    )
