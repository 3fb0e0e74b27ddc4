"""Copies the newest values of a window into the online store, by feature_repo's engine.

Idempotent: the same window again writes nothing. One run at a time, under an advisory lock.
All views that live in this database are written in one transaction; a run that is killed
leaves the values as they were, and a view that fails its own ones, while the others are done.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from feature_repo.database import connect, lock
from feature_repo.errors import ConfigurationError, UnknownName
from feature_repo.store import open_store, translated
from jobs.ledger import Counts, Run, iso

if TYPE_CHECKING:
    from feast import FeatureStore

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
    replaces a newer one, unless `force` is set.

    Args:
        run: its counts and window are filled in.
        start: aware; None for everything from the first row on.
        end: aware, not in the future; None for now, which the database's clock says.
        views: feature views by name; none for all.
        force: serve exactly the window, although newer values were materialized.
        skip_if_running: do nothing when another materialization runs, instead of waiting.

    Raises:
        ConfigurationError: the window is upside down or ends in the future; a view is not served.
        UnknownName: no such feature view.
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
            run.counts.add(through_feast(store, start, end, choose(store, views), force))


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
    """The feature views called `names`, all that are served for none.

    Of every class: also those of streams, and those on demand that are kept online.

    Raises:
        UnknownName: there is no such view, or it is one whose rows are pushed (labels) or
            computed when it is read.
    """
    store.refresh_registry()
    known = {
        view.name: view
        for view in store.list_all_feature_views()
        if hasattr(view, "materialization_intervals") or is_on_demand(view)
    }
    for name in names:
        if name not in known:
            raise UnknownName("feature view", name, known)
        if not is_served(known[name]):
            raise ConfigurationError(
                f"feature view {name} is not served (online=False): nothing to do for it"
            )
    return sorted(
        names or (name for name, view in known.items() if view.enabled and is_served(view))
    )


def is_served(view: Any) -> bool:
    """Whether a view is kept online, of those that are computed from others, too."""
    return is_on_demand(view) or bool(view.online)


def is_on_demand(view: Any) -> bool:
    """Whether a view is computed from others, and kept online as well."""
    return bool(getattr(view, "write_to_online_store", False))


def through_feast(
    store: "FeatureStore", start: datetime, end: datetime, views: list[str], force: bool
) -> Counts:
    """Materializes `views` and gives what became of their rows, all together.

    A view that fails leaves the others done; the first error is raised when all were tried.
    """
    # Feast prints its progress; on a terminal its bar is welcome, a log has ours.
    os.environ.setdefault("TQDM_DISABLE", "" if sys.stderr.isatty() else "1")
    store.config.online_store.force = force
    total, errors = Counts(), []
    for group in calls(store, views):
        engine, online = store._get_provider().batch_engine, store._get_provider().online_store
        engine.results, before = {}, dict(online.rows_written)
        try:
            with translated(), contextlib.redirect_stdout(io.StringIO()):
                store.materialize(start, end, group)
        except Exception as error:
            errors.append(error)
        for name, found in sorted(engine.results.items()):
            counts = Counts(found.read, found.written, found.late, found.unchanged)
            counts.older = found.older
            total.add(told(name, found.way, start, end, counts))
        for name in sorted(online.rows_written.keys() & set(group) - engine.results.keys()):
            count = online.rows_written[name] - before.get(name, 0)
            total.add(told(name, "feast", start, end, Counts(count, count)))
    if errors:
        raise errors[0]
    return total


def calls(store: "FeatureStore", views: list[str]) -> list[list[str]]:
    """The views by calls to Feast, which ends one at the first view on demand that fails."""
    known = {view.name: view for view in store.list_all_feature_views()}
    computed = [name for name in views if is_on_demand(known[name])]
    stored = [name for name in views if name not in computed]
    return [*([stored] if stored else []), *([name] for name in computed)]


def told(name: str, way: str, start: datetime, end: datetime, counts: Counts) -> Counts:
    """The counts of a view that was materialized, logged."""
    log.info(
        "view materialized",
        extra={
            "view": name,
            "way": way,
            "start": iso(start),
            "end": iso(end),
            "read": counts.read,
            "written": counts.written,
            "late": counts.late,
            "unchanged": counts.unchanged,
            "older": counts.older,
        },
    )
    return counts
