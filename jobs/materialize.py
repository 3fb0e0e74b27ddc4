"""Copies the newest values of a window into the online store, by feature_repo's engine.

Idempotent: the same window again writes nothing. One run at a time, under an advisory lock.
All views that live in this database are written in one transaction; a run that is killed
leaves the values as they were.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg import Connection

from feature_repo import ahead
from feature_repo.database import connect, lock
from feature_repo.errors import ConfigurationError, UnknownName
from feature_repo.store import open_store, translated
from jobs.ledger import Counts, Run, iso

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_repo.engine_ledger import Result

log = logging.getLogger(__name__)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
CLOCKS_DIFFER = timedelta(hours=2)
"""More than a clock is off that somebody set wrongly by an hour."""


def materialize(
    run: Run,
    start: datetime | None = None,
    end: datetime | None = None,
    views: Sequence[str] = (),
    force: bool = False,
    skip_if_running: bool = False,
) -> None:
    """Materializes the rows with start <= as_of <= end; the newest of each user is served.

    So are rows before `start` that were loaded after the last materialization. No value
    replaces a newer one, unless `force` is set. Rows that are dated further ahead than
    STREAMFLOW_MAX_AHEAD_S allows are left out, counted as refused, and said.

    Args:
        run: its counts and window are filled in.
        start: aware; None for everything from the first row on.
        end: aware, not in the future; None for now, which the database's clock says.
        views: feature views by name; none for all.
        force: serve exactly the window, although newer values were materialized.
        skip_if_running: do nothing when another materialization runs, instead of waiting.

    Raises:
        ConfigurationError: the window is upside down or ends in the future; or a view's features
            cannot be taken from its source.
        UnknownName: no such feature view.
        ValueRefused: a view's source has a value that its feature cannot have; the other views
            are written.
    """
    with open_store() as store, connect(autocommit=True) as connection:
        start, end = within(connection, start, end)
        with lock(connection, "materialize", wait=not skip_if_running) as got:
            if got == "busy":
                run.message = "another materialization is running, nothing to do"
                log.info(run.message)
                return
            if got == "waited":
                log.info("waited for another materialization to end")
            run.window = (start, end)
            try:
                through_feast(store, start, end, choose(store, views), force)
            finally:
                enter(run, results(store))


def within(
    connection: Connection, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    """The window from the first row on, or `start`, to `end` or now by the database's clock.

    That one clock is everybody's, while a client's or a scheduler's may be off: an `end` that is
    not reached yet by less than CLOCKS_DIFFER is now.

    Raises:
        ConfigurationError: the window is upside down or ends in the future.
    """
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM gives one row
    now = row[0].astimezone(UTC)
    start, end = start or BEGINNING, end or now
    if start > end:
        raise ConfigurationError(f"--start {iso(start)} is after --end {iso(end)}")
    if end > now + CLOCKS_DIFFER:
        raise ConfigurationError(f"--end {iso(end)} is in the future; leave it out for now")
    return start, min(end, now)


def choose(store: "FeatureStore", names: Sequence[str]) -> list[str]:
    """The feature views called `names`, all that are served for none."""
    store.refresh_registry()
    known = {view.name: view for view in store.list_feature_views()}
    for name in names:
        if name not in known:
            raise UnknownName("feature view", name, known)
    return sorted(names or (name for name, view in known.items() if view.online))


def through_feast(
    store: "FeatureStore", start: datetime, end: datetime, views: list[str], force: bool
) -> None:
    """Materializes `views`, and logs what became of the rows of each; see `results`."""
    # Feast prints its progress; on a terminal its bar is welcome, a log has ours.
    os.environ.setdefault("TQDM_DISABLE", "" if sys.stderr.isatty() else "1")
    store.config.online_store.force = force
    try:
        with translated(), contextlib.redirect_stdout(io.StringIO()):
            store.materialize(start, end, views)
    finally:  # a view that failed stopped no other
        for name, found in results(store).items():
            about = {"view": name, "way": found.way, "start": iso(start), "end": iso(end)}
            log.info("view materialized", extra={**about, **asdict(counts(found))})


def results(store: "FeatureStore") -> "dict[str, Result]":
    """By view, what became of the rows of the last materialization."""
    return dict(sorted(store._get_provider().batch_engine.results.items()))


def counts(found: "Result") -> Counts:
    """A view's rows as the ledger counts them; those that are too far ahead were refused."""
    return Counts(
        read=found.read + found.ahead,
        written=found.written,
        late=found.late,
        unchanged=found.unchanged,
        refused=found.ahead,
        older=found.older,
    )


def enter(run: Run, found: "dict[str, Result]") -> None:
    """Adds what became of the rows of all views to a run, and says what is dated too far ahead."""
    for one in found.values():
        run.counts.add(counts(one))
    too_far = f"dated more than {ahead.allowed()} ahead of the database's clock"
    if left_out := {name: one.ahead for name, one in found.items() if one.ahead}:
        say(run, f"{too_far} and left out, rows by view: {listed(left_out)}")
    if held := {name: one.held for name, one in found.items() if one.held}:
        mend = "materialize --force, or delete those rows from the online table"
        say(run, f"kept back by values {too_far}, users by view: {listed(held)}; {mend}")


def say(run: Run, text: str) -> None:
    """Logs a warning that the run's message has as well."""
    run.message = f"{run.message}; {text}".removeprefix("; ")
    log.warning(text)


def listed(numbers: dict[str, int]) -> str:
    """Counts by view in a line."""
    return ", ".join(f"{view} {number}" for view, number in numbers.items())
