"""Feast's compute engine that has Spark find the newest rows, in the lake.

Named in feature_store.yaml, so that `feast materialize` and the SDK use it; so does then
`streamflow materialize --from lake`, without Feast. Spark only computes and stages: the merge
inside PostgreSQL writes values, ledger and Feast's intervals, all views in one transaction. A view
that the lake has not goes as with StreamflowEngine.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from feast.infra.common.materialization_job import MaterializationJob, MaterializationTask
from feast.infra.registry.base_registry import BaseRegistry
from psycopg import Connection
from pydantic import Field, StrictInt, StrictStr, field_validator

from streamflow import settings, snapshots
from streamflow.engine import merge
from streamflow.engine.ledger import Result
from streamflow.engine.plan import Window
from streamflow.engine.transaction import Errors
from streamflow.errors import ConfigurationError, reason
from streamflow.feast.engine import plan as engine_plan
from streamflow.feast.engine.besides import PlannedTask
from streamflow.feast.engine.engine import StreamflowEngine, StreamflowEngineConfig
from streamflow.feast.online.connect import options
from streamflow.lake import staged
from streamflow.lake.join import Lake, lake
from streamflow.lake.newest import Meant
from streamflow.registry.stores import CONNECTIONS, SPARK_ENGINE, SparkSettings, texts
from streamflow.spark import staging
from streamflow.spark.materialize import Staged, stage
from streamflow.spark.staging import Staging

log = logging.getLogger(__name__)


class StreamflowSparkEngineConfig(StreamflowEngineConfig):
    """The `batch_engine` part of feature_store.yaml."""

    type: StrictStr = SPARK_ENGINE
    spark_conf: dict[str, str] = Field(default_factory=dict)
    """Spark's own settings: `spark.master` and whatever else."""
    connections: StrictInt = Field(CONNECTIONS, ge=1)
    """The most connections to PostgreSQL that executors have at once: as many tasks write."""

    @field_validator("spark_conf", mode="before")
    @classmethod
    def _as_texts(cls, given: Any) -> Any:
        return texts(given) if isinstance(given, dict) else given


class FromLake:
    """The state of one call: the version of the lake, its staging tables, its views."""

    def __init__(self, source: Lake, tables: Staging) -> None:
        self.source = source
        self.tables = tables
        self.meant: dict[str, Meant] = {}
        self.staged: Staged[PlannedTask] | None = None


class StreamflowSparkEngine(StreamflowEngine):
    """Materializes all views of a call at once, those that the lake has by Spark."""

    def __init__(
        self,
        *,
        spark_conf: dict[str, str] | None = None,
        connections: int = CONNECTIONS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = SparkSettings(texts(spark_conf or {}), connections)
        self.origin = "lake"
        """`database` where a call is to read that, as StreamflowEngine does."""
        self.lake: FromLake | None = None

    def materialize(
        self,
        registry: BaseRegistry,
        tasks: MaterializationTask | list[MaterializationTask],
        **kwargs: Any,
    ) -> list[MaterializationJob]:
        """Materializes every task's view; one that fails leaves its values as they were.

        Raises:
            ConfigurationError: there is no lake, or the executors' database is another one.
            StreamflowError: Spark does not start, or a file of the lake is gone.
        """
        if self.origin == "database":
            return super().materialize(registry, tasks, **kwargs)
        self._require_executors_database()
        source = lake(snapshots.load(Path(self.repo_config.repo_path)))
        with (
            psycopg.connect(**options(self.repo_config), autocommit=True) as connection,
            staging.opened(connection) as tables,
        ):
            self.lake = FromLake(source, tables)
            try:
                return super().materialize(registry, tasks, **kwargs)
            finally:
                self.lake = None

    def _require_executors_database(self) -> None:
        """Returns when the PG* variables name the online store's database, as for executors."""
        online, here = self.repo_config.online_store, settings.postgres()
        for own, variable in (
            (online.host, here.host),
            (online.port, here.port),
            (online.database, here.database),
            (online.user, here.user),
        ):
            if own != variable:
                raise ConfigurationError(
                    f"online_store names {own}, and the PG* variables {variable}: Spark's executors"
                    " have nothing but the variables; leave it out of feature_store.yaml"
                )

    def _plan(
        self,
        connection: Connection,
        registry: BaseRegistry,
        task: MaterializationTask,
        limit: datetime,
    ) -> PlannedTask:
        if self.lake is None:
            return super()._plan(connection, registry, task, limit)
        try:
            return self._plan_from_lake(self.lake, connection, registry, task, limit)
        except (engine_plan.NotInside, ConfigurationError) as error:
            about = {"view": task.feature_view.name, "reason": reason(error)}
            log.info("view is not read from the lake", extra=about)
            return super()._plan(connection, registry, task, limit)

    def _plan_from_lake(
        self,
        of: FromLake,
        connection: Connection,
        registry: BaseRegistry,
        task: MaterializationTask,
        limit: datetime,
    ) -> PlannedTask:
        """The plan of a view whose rows Spark stages.

        Raises:
            NotInside, ConfigurationError: the lake has not what the view needs.
        """
        view = engine_plan.plain_view(self.repo_config, task.feature_view)
        found = staged.lake_view(view, of.source)
        recorded = engine_plan.recorded_as(self.repo_config, registry, task)
        seen_at, lookback = merge.seen(
            connection, task.project, recorded, self.lookback, from_lake=True
        )
        seen_at = None if self.repo_config.online_store.force else seen_at
        start, end = map(engine_plan.in_utc, (task.start_time, task.end_time))
        window = Window(start, end, seen_at, lookback, limit)
        planned = staged.plan(task.project, view, window, of.tables.table(view.name), recorded)
        of.meant[view.name] = staged.meant_of(connection, of.source, found, planned)
        return PlannedTask(**vars(planned), task=task)

    @contextmanager
    def _prepared(
        self, connection: Connection, inside: list[PlannedTask]
    ) -> Iterator[tuple[list[PlannedTask], Errors]]:
        if self.lake is None:
            yield inside, {}
            return
        by_spark = [one for one in inside if one.view in self.lake.meant]
        source, tables = self.lake.source, self.lake.tables
        self.lake.staged = stage(
            connection, tables, source, self.settings, by_spark, self.lake.meant
        )
        others = [one for one in inside if one.view not in self.lake.meant]
        yield [*self.lake.staged.planned, *others], self.lake.staged.errors

    def _write(
        self,
        connection: Connection,
        registry: BaseRegistry,
        home: str | None,
        planned: Sequence[PlannedTask],
        seen_at: datetime,
    ) -> list[Result]:
        if self.lake is not None and self.lake.staged is not None:
            by_spark = [one for one in planned if one.way == merge.LAKE]
            self.lake.staged.verify(connection, by_spark)
            seen_at = min(seen_at, self.lake.staged.looked_at)
        return super()._write(connection, registry, home, planned, seen_at)
