"""Metrics of the run ledger: read in the background, never when they are asked for.

Every process has the same ones; in a query `max by (command)` makes one of them.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.background import BackgroundTask
from api.postgres.session import Rows
from api.reading.features import Features
from api.telemetry import drift
from streamflow.errors import StreamflowError

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""Seconds for one read. It waits for a connection behind requests, and gives up before they do."""
OUTCOMES = ("done", "failed", "refused", "killed")
RESULTS = ("read", "written", "late", "unchanged", "refused", "older")

IS_BY_PROJECT = """
    SELECT coalesce(has_table_privilege(to_regclass('ops.status_of_projects'), 'SELECT'), false)"""
"""False where an earlier version applied last, whose database has one project."""
COMMANDS = """
    SELECT command, running, done, failed, refused, killed, last_outcome,
           extract(epoch FROM last_success_at)::float8 AS last_success,
           extract(epoch FROM last_duration)::float8 AS last_duration,
           rows_read, rows_written, rows_late, rows_unchanged, rows_refused, rows_older
    FROM {} ORDER BY command"""
"""One row per command that ever ran; null where none of its runs has ended, or succeeded."""
COMMANDS_OF = "ops.status_of_projects WHERE project IN ('', $1)"
"""Those of a project, and of the database as a whole."""
VIEWS = """
    SELECT project, view, extract(epoch FROM materialized_until)::float8 AS until,
           extract(epoch FROM newest_event)::float8 AS newest
    FROM ops.status_of_views ORDER BY view"""
"""One row per view that was ever materialized, also where it is served no more."""
FEATURES = "SELECT view, feature, compared, differing FROM {} ORDER BY 1, 2"
"""One row per feature of the last audit."""
FEATURES_OF = "ops.status_of_audits WHERE project = $1"
"""The last audit of one project."""


@dataclass(frozen=True)
class Reading:
    """The rows of one reading of the ledger."""

    commands: Rows
    views: Rows
    features: Rows
    drift: Rows


class LedgerMetrics(BackgroundTask, Collector):
    """The ledger as it was at the last reading that succeeded. Belongs to one event loop."""

    def __init__(self, features: Features) -> None:
        self._features, self._every_s = features, features.settings.status_refresh_s
        self._reading = Reading([], [], [], [])
        self._read_at = 0.0
        self._failures = 0
        self._reason: str | None = None

    async def _run(self) -> None:
        """Read every `status_refresh_s` seconds while the database is there."""
        while True:
            if self._features.state.away_reason is None:
                await self._read()
            # At the start nothing is known of the database yet, but soon.
            has_tried = self._read_at or self._failures
            await asyncio.sleep(self._every_s if has_tried else min(1.0, self._every_s))

    async def _read(self) -> None:
        """Read all of it; if that fails, the last reading stays."""
        try:
            reading = await self._ask()
        except StreamflowError as error:
            self._fail(str(error))
        except Exception as error:  # whatever it is, the next reading may do better
            log.exception("ledger not read")
            self._fail(repr(error))
        else:
            self._reading, self._read_at, self._reason = reading, time.time(), None

    async def _ask(self) -> Reading:
        """The ledger's rows of the project that is served."""
        ask, catalog = self._features.ask, self._features.state.catalog
        views = await ask(VIEWS, TIMEOUT_S)
        if (await ask(IS_BY_PROJECT, TIMEOUT_S))[0][0]:
            project = catalog.project if catalog else self._features.settings.project
            commands = await ask(COMMANDS.format(COMMANDS_OF), TIMEOUT_S, project)
            features = await ask(FEATURES.format(FEATURES_OF), TIMEOUT_S, project)
        else:
            commands = await ask(COMMANDS.format("ops.status_of_commands"), TIMEOUT_S)
            features = await ask(FEATURES.format("ops.status_of_features"), TIMEOUT_S)
        is_compared = (await ask(drift.IS_THERE, TIMEOUT_S))[0][0]
        drifted = await ask(drift.NEWEST_MONTHS, TIMEOUT_S) if is_compared else []
        return Reading(commands, views, features, drifted)

    def _fail(self, reason: str) -> None:
        self._failures += 1
        if reason != self._reason:
            log.warning("ledger not read, its metrics stay", extra={"reason": reason})
        self._reason = reason

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        yield GaugeMetricFamily(
            "streamflow_status_last_read_timestamp_seconds",
            "When the ledger was last read for these metrics; 0 for never.",
            value=self._read_at,
        )
        yield CounterMetricFamily(
            "streamflow_status_read_failures",
            "Readings of the ledger that failed, so that the metrics are those of before.",
            value=self._failures,
        )
        yield from self._command_metrics()
        yield from self._view_metrics()
        yield from self._feature_metrics()
        yield from drift.metrics(self._reading.drift)

    def _command_metrics(self) -> Iterator[Metric]:
        success = GaugeMetricFamily(
            "streamflow_job_last_success_timestamp_seconds",
            "When a run of the command last succeeded.",
            labels=["command"],
        )
        duration = GaugeMetricFamily(
            "streamflow_job_last_duration_seconds",
            "How long the last run of the command took.",
            labels=["command"],
        )
        running = GaugeMetricFamily(
            "streamflow_job_running", "Runs of the command under way.", labels=["command"]
        )
        total = CounterMetricFamily(
            "streamflow_job_runs",
            "Runs of the command that ended, by how.",
            labels=["command", "outcome"],
        )
        last = GaugeMetricFamily(
            "streamflow_job_last_outcome",
            "1 for the outcome of the command's last run, 0 for the others.",
            labels=["command", "outcome"],
        )
        rows = GaugeMetricFamily(
            "streamflow_job_last_rows",
            "Rows of the command's last run, by what became of them.",
            labels=["command", "result"],
        )
        for one in self._reading.commands:
            command = one["command"]
            running.add_metric([command], one["running"])
            for outcome in OUTCOMES:
                total.add_metric([command, outcome], one[outcome])
                if one["last_outcome"] is not None:
                    last.add_metric([command, outcome], float(outcome == one["last_outcome"]))
            if one["last_success"] is not None:
                success.add_metric([command], one["last_success"])
            if one["last_duration"] is not None:
                duration.add_metric([command], one["last_duration"])
            for result in RESULTS:
                if one[f"rows_{result}"] is not None:
                    rows.add_metric([command, result], one[f"rows_{result}"])
        yield from (success, duration, running, total, last, rows)

    def _view_metrics(self) -> Iterator[Metric]:
        """Metrics of the views in the catalog; the ledger has rows of former views, too."""
        until = GaugeMetricFamily(
            "streamflow_view_materialized_until_timestamp_seconds",
            "The watermark: rows up to this instant were materialized.",
            labels=["view"],
        )
        newest = GaugeMetricFamily(
            "streamflow_view_newest_event_timestamp_seconds",
            "The newest instant that any online value described after the last materialization.",
            labels=["view"],
        )
        fresh = GaugeMetricFamily(
            "streamflow_view_fresh_for_seconds",
            "Age from which answers call the view's values stale.",
            labels=["view"],
        )
        catalog = self._features.state.catalog
        views = catalog.views if catalog is not None else {}
        for name, view in sorted(views.items()):
            if view.fresh_for_s:
                fresh.add_metric([name], view.fresh_for_s)
        for one in self._reading.views:
            if catalog is None or one["project"] != catalog.project or one["view"] not in views:
                continue
            until.add_metric([one["view"]], one["until"])
            if one["newest"] is not None:
                newest.add_metric([one["view"]], one["newest"])
        yield from (until, newest, fresh)

    def _feature_metrics(self) -> Iterator[Metric]:
        skew = GaugeMetricFamily(
            "streamflow_skew_share",
            "Share of the users of the last audit in whom the served value is not the trained one.",
            labels=["view", "feature"],
        )
        for one in self._reading.features:
            if one["compared"]:
                skew.add_metric([one["view"], one["feature"]], one["differing"] / one["compared"])
        yield skew
