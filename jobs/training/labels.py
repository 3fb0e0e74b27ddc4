"""Waits for the labels of the day of a training set."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from functools import partial

from psycopg import sql

from jobs.run import waiting
from jobs.run.earlier_runs import is_loading
from jobs.run.instants import midnight
from streamflow import settings, snapshots
from streamflow.postgres.connect import connect
from streamflow.postgres.snapshot_tables import labelled


class NoLabels(waiting.NotThereYet):
    """A day has no labels, so there is nothing to train on."""


def wait_for_labels(as_of: date, require: Callable[[datetime], None] | None = None) -> None:
    """Waits until there are labels of a day, STREAMFLOW_WAIT_S seconds at most.

    While a month is being loaded it waits on. To be called before the run is entered in the ledger,
    so that all months which a run does not see ended after it began.

    Args:
        require: raises NoLabels while there are none; by default those of the database are meant.
    """
    check = partial(require or require_labels, midnight(as_of))
    with suppress(NoLabels):
        waiting.until(check, f"the labels of {as_of}", is_loading)


def require_labels(instant: datetime) -> None:
    """Raises NoLabels if there are no labels of `instant`."""
    with connect() as connection:
        declared = snapshots.load(settings.streamflow().feature_repo)
        table = sql.Identifier("source", declared.labels.table)
        last = connection.execute(sql.SQL(LAST_LABELS).format(table), [instant]).fetchone()
        if last == (instant,):
            return
        days = ", ".join(str(one.date()) for one in labelled(connection, declared))
    raise NoLabels(f"no labels of {instant.date()}; there are those of: {days or 'no day'}")


LAST_LABELS = "SELECT max(as_of) FROM {} WHERE as_of <= %s"
"""The last labels at or before an instant; asked every two seconds while a job waits for them.

The end of a range is found in the index, while PostgreSQL may go through the table for whether a
row exists.
"""
