"""Feast's compute engine that materializes inside PostgreSQL, without a row leaving it.

Named in feature_store.yaml, so that `feast materialize` and the SDK use it. Views whose source
is a table or query of the online store's own database go in one transaction of set-based SQL.
Where that is elsewhere, or Feast's messages have to be made, the rows are copied (engine_copy.py);
a view that Feast has to compute (transformed, aggregated) goes its own way through the store.
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

from feature_repo import (
    ahead,
    engine_copy,
    engine_ledger,
    engine_merge,
    engine_plan,
    online_pool,
    tracing,
)
from feature_repo.database import lock_key
from feature_repo.engine_ledger import Result
from feature_repo.engine_source import Source
from feature_repo.errors import ConfigurationError
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
    """A task and how it is done: inside PostgreSQL, or beside it for a reason."""

    task: MaterializationTask
    source: Source | None
    reason: str = ""
    is_plain: bool = False
    """Of one beside it: whether the values are the source's columns, which Feast need not see."""
    seen_at: datetime | None = None
    """When the view was materialized last."""


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

        The views that go inside PostgreSQL are written in one transaction, without those of which
        a value is refused: these have their own error.
        """
        self.results = {}
        tasks = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        errors: dict[str, Exception] = {}
        with psycopg.connect(
            **online_pool.options(self.repo_config), autocommit=True
        ) as connection:
            limit = ahead.limit(connection)
            planned = [
                one for task in tasks if (one := self._planned(connection, task, limit, errors))
            ]
            inside = [one for one in planned if one.source is not None]
            if inside:
                errors |= self._inside(connection, registry, inside)
            for one in planned:
                if one.source is None:
                    error = self._besides(connection, registry, one, limit, **kwargs)
                    errors |= {one.task.feature_view.name: error} if error else {}
        registry.refresh(tasks[0].project if tasks else None)
        for view, error in errors.items():
            log.error("view not materialized", extra={"view": view, "reason": str(error)})
        return [job(task, errors.get(task.feature_view.name)) for task in tasks]

    def _planned(
        self,
        connection: Connection,
        task: MaterializationTask,
        limit: datetime,
        errors: dict[str, Exception],
    ) -> Planned | None:
        view = task.feature_view
        force = self.repo_config.online_store.force
        seen_at = None if force else engine_ledger.seen_at(connection, task.project, view.name)
        try:
            engine_plan.require_plain(view)
            if not engine_plan.is_here(self.repo_config):
                return Planned(task, None, "its source is in another database", True, seen_at)
            source = engine_plan.source_of(
                connection, self.repo_config, task, seen_at, self.lookback, limit
            )
        except engine_plan.NotInside as reason:
            return Planned(task, None, str(reason))
        except (ConfigurationError, psycopg.ProgrammingError, psycopg.DataError) as error:
            errors[view.name] = error
            return None
        messages = [one.column for one in source.features if one.is_message]
        if messages:
            return Planned(task, None, f"{messages[0]} becomes a message of Feast's", True, seen_at)
        return Planned(task, source)

    def _inside(
        self, connection: Connection, registry: BaseRegistry, planned: Sequence[Planned]
    ) -> dict[str, Exception]:
        for attempt in range(1, ATTEMPTS + 2):
            snapshot = attempt <= ATTEMPTS
            connection.set_isolation_level(
                IsolationLevel.REPEATABLE_READ if snapshot else IsolationLevel.READ_COMMITTED
            )
            try:
                with connection.transaction():
                    found, errors = self._write(connection, planned, checked=not snapshot)
                    engine_ledger.record(connection, registry, found)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
                log.info("others write the same rows, trying again", extra={"attempt": attempt})
                if not snapshot:
                    return all_of(planned, error)
            except psycopg.Error as error:
                return all_of(planned, error)
            else:
                self.results |= {result.view: result for result in found}
                return errors
        return {}

    def _write(
        self, connection: Connection, planned: Sequence[Planned], checked: bool
    ) -> tuple[list[Result], dict[str, Exception]]:
        # Two materializations at once do the same work twice and wait for each other's rows.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key("engine")])
        connection.execute("SET LOCAL work_mem = '64MB'")
        now = connection.execute("SELECT now()").fetchone()
        seen_at = now[0] if now else datetime.now(UTC)
        tables: dict[str, list[Planned]] = {}
        for one in planned:
            assert one.source is not None  # noqa: S101  # by the caller
            tables.setdefault(one.source.layout.table, []).append(one)
        found: list[Result] = []
        errors: dict[str, Exception] = {}
        for group in tables.values():
            found += self._write_table(connection, group, seen_at, checked, errors)
        return found, errors

    def _write_table(
        self,
        connection: Connection,
        planned: Sequence[Planned],
        seen_at: datetime,
        checked: bool,
        errors: dict[str, Exception],
    ) -> list[Result]:
        force = self.repo_config.online_store.force
        sources = [one.source for one in planned if one.source]
        with tracing.span("look for what is new"):
            looked = [engine_merge.look(connection, one, force) for one in sources]
        # The merge sorts and joins; what has nothing new needs none of it.
        new = [one for one, look in zip(sources, looked, strict=True) if look.new]
        with tracing.span("merge", views=[one.layout.view for one in new]):
            merged, refused = engine_merge.merge(connection, new, force, checked)
        errors |= refused
        layouts = [one.layout for one in sources]
        newest = engine_ledger.newest_events(connection, layouts, sources[0].limit)
        found = []
        for one, layout, look, held in zip(planned, layouts, looked, newest, strict=True):
            if layout.view in refused:
                continue
            written, unchanged = merged.get(layout.view, (0, look.same))
            rows = (look.read, written, look.late, unchanged, look.read - written - unchanged)
            found.append(Result.of(one.task, "database", seen_at, rows, held, look.ahead))
        return found

    def _besides(
        self,
        connection: Connection,
        registry: BaseRegistry,
        planned: Planned,
        limit: datetime,
        **kwargs: Any,
    ) -> Exception | None:
        """Materializes a view whose rows leave the database; gives the error if it fails."""
        task, store = planned.task, self.online_store
        view = task.feature_view
        log.info("view goes Feast's own way", extra={"view": view.name, "reason": planned.reason})
        now, before = datetime.now(UTC), store.counts(view.name)
        try:
            if planned.is_plain:
                seen = (planned.seen_at, self.lookback, limit)
                engine_copy.copy(self.repo_config, store, task, *seen)
            else:
                done = super()._materialize_one(registry, engine_copy.until(task, limit), **kwargs)
                if done.error():
                    return done.error()  # type: ignore[no-any-return]
            too_far = engine_copy.count_ahead(self.repo_config, view, limit)
        except Exception as error:
            return error
        counts = zip(store.counts(view.name), before, strict=True)
        given, written, older = (after - earlier for after, earlier in counts)
        layout = layout_in(self.repo_config, view)
        (held,) = engine_ledger.newest_events(connection, [layout], limit)
        rows = (given, written, 0, given - written - older, older)
        result = Result.of(task, "feast", now, rows, held, too_far)
        with connection.transaction():
            engine_ledger.record(connection, registry, [result])
        self.results[view.name] = result
        return None


def all_of(planned: Sequence[Planned], error: Exception) -> dict[str, Exception]:
    """An error that is every view's."""
    return {one.task.feature_view.name: error for one in planned}


def job(task: MaterializationTask, error: Exception | None) -> MaterializationJob:
    """What Feast wants to know of a task that ended."""
    return LocalMaterializationJob(
        job_id=f"{task.feature_view.name}-{task.start_time}-{task.end_time}",
        status=MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED,
        error=error,
    )
