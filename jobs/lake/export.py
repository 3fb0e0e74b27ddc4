"""Brings months of the lake to those of the database, as a run of the ledger."""

import logging
from collections.abc import Sequence
from datetime import date

from jobs.run.instants import midnight
from jobs.run.result import Run
from jobs.run.urls import without_secrets
from streamflow import settings, snapshots
from streamflow.lake import export as lake
from streamflow.lake.export import Month

log = logging.getLogger(__name__)


def export(run: Run, as_of: Sequence[date] = (), again: bool = False) -> list[Month]:
    """Copies months to the lake; the run counts rows, written are those of months that changed.

    Args:
        as_of: the months; none for all that the database has.
        again: also store the files of months that did not change.

    Raises:
        ConfigurationError: there is no lake, or no such month.
        StreamflowError: the lake cannot be written; nobody sees any of it.
    """
    declared = snapshots.load(settings.streamflow().feature_repo)
    months = lake.export(declared, [midnight(one) for one in as_of], again, told)
    for one in months:
        run.counts.read += one.rows
        if one.is_new:
            run.counts.written += one.rows
        else:
            run.counts.unchanged += one.rows
    instants = [one.instant for one in months]
    run.window = (min(instants, default=None), max(instants, default=None))
    run.details["lake"] = without_secrets(settings.streamflow().lake_url)
    return months


def told(month: Month) -> None:
    """Logs a month of a table that was read."""
    extra = {"table": month.table, "as_of": str(month.instant.date()), "rows": month.rows}
    log.info("month stored" if month.is_new else "month unchanged", extra=extra)
