"""Compares a month that is being loaded with the one before it, by the statistics of both."""

import logging
from collections.abc import Mapping
from datetime import datetime

from psycopg import Connection

from jobs.run.result import Run
from streamflow.errors import Fault, SchemaMissing
from streamflow.snapshots import Snapshots
from streamflow.statistics import month as statistics
from streamflow.statistics import store
from streamflow.statistics.comparison.compare import as_json
from streamflow.statistics.comparison.limits import limits_by_table

log = logging.getLogger(__name__)


def compare_with_month_before(
    run: Run,
    connection: Connection,
    declared: Snapshots,
    instant: datetime,
    written: Mapping[str, int],
    refuse_drift: bool,
) -> list[Fault]:
    """Keeps the statistics up to date; gives what drifted, which the run then has as `drift`.

    In a database that an earlier version applied, which lacks tables of them, the month is stored
    all the same: in an upgrade, an ingest may be faster than the apply beside it.

    Raises:
        SchemaMissing: that is so, and drift was to be refused.
    """
    run.details["drift"] = []
    if not store.are_there(connection):
        if refuse_drift:
            raise SchemaMissing("the database lacks tables of statistics; run: streamflow apply")
        log.warning("no statistics, the database lacks tables of them; run: streamflow apply")
        return []
    limits = limits_by_table(connection, declared)
    found = statistics.update(connection, declared, instant, written, limits)
    run.details["drift"] = [
        {"table": one.table, "against": str(before.date()), **as_json(finding)}
        for one, before, finding in found
    ]
    for entry in run.details["drift"]:
        log.warning("drift", extra={key: entry[key] for key in ("table", "feature", "text")})
    return [
        Fault(
            f"{one.file}.csv",
            None,
            finding.feature or None,
            None,
            f"{finding.text}, against {before.date()}",
        )
        for one, before, finding in found
    ]
