"""Copies the newest values of a window into the online store, through Feast.

Idempotent: the same window again writes the same values. One run at a time, under an advisory
lock. A run that is killed leaves some users with new values and some with old ones, each of
them whole and each with its own time; the next run completes it.
"""

import contextlib
import io
import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import Connection

from feature_repo.database import connect, lock
from feature_repo.errors import ConfigurationError, UnknownName
from feature_repo.store import open_store
from jobs.ledger import Counts, Run, iso

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

log = logging.getLogger(__name__)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def materialize(
    run: Run,
    start: datetime | None = None,
    end: datetime | None = None,
    views: Sequence[str] = (),
    force: bool = False,
    skip_if_running: bool = False,
) -> None:
    """Materializes the rows with start <= as_of <= end; the newest of each user is served.

    Feast writes what the window holds, also over newer values. So a window that ends before
    what was materialized already is extended to there, unless `force` is set.

    Args:
        run: its counts and window are filled in.
        start: aware; None for everything from the first row on.
        end: aware, not in the future; None for now.
        views: feature views by name; none for all.
        force: serve exactly the window, although newer values were materialized.
        skip_if_running: do nothing when another materialization runs, instead of waiting.

    Raises:
        ConfigurationError: the window is upside down or ends in the future.
        UnknownName: no such feature view.
    """
    now = datetime.now(UTC)
    start, end = start or BEGINNING, end or now
    if start > end:
        raise ConfigurationError(f"--start {iso(start)} is after --end {iso(end)}")
    if end > now:
        raise ConfigurationError(f"--end {iso(end)} is in the future; leave it out for now")
    with (
        open_store() as store,
        connect(autocommit=True) as connection,
        lock(connection, "materialize", wait=not skip_if_running) as got,
    ):
        if got == "busy":
            run.message = "another materialization is running, nothing to do"
            log.info(run.message)
            return
        if got == "waited":
            log.info("waited for another materialization to end")
        chosen = choose(store, views)
        run.window = (start, end)
        for view in chosen:
            until = end if force else min(now, max([end, *newest_end(view)]))
            if until > end:
                log.info(
                    "window extended, so that no older value replaces a newer one",
                    extra={"view": view.name, "end": iso(until)},
                )
            run.counts.add(one_view(store, connection, view, start, until))


def choose(store: "FeatureStore", names: Sequence[str]) -> list["FeatureView"]:
    """The feature views called `names`, all of them for none."""
    store.refresh_registry()
    known = {view.name: view for view in store.list_feature_views()}
    for name in names:
        if name not in known:
            raise UnknownName("feature view", name, known)
    return [known[name] for name in (names or sorted(known))]


def newest_end(view: "FeatureView") -> list[datetime]:
    """Until when `view` was materialized, empty when never."""
    ends = [end for _, end in view.materialization_intervals]
    return [end if end.tzinfo else end.replace(tzinfo=UTC) for end in ends]


def one_view(
    store: "FeatureStore",
    connection: Connection,
    view: "FeatureView",
    start: datetime,
    end: datetime,
) -> Counts:
    """Materializes one view and counts: rows in the window, users written, late rows."""
    began = time.monotonic()
    read, late = count(connection, view, start, end)
    written = store._get_provider().online_store.rows_written
    before = written.get(view.name, 0)
    # Feast prints its progress; on a terminal its bar is welcome, a log has ours.
    os.environ.setdefault("TQDM_DISABLE", "" if sys.stderr.isatty() else "1")
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(start, end, [view.name])
    counts = Counts(read, written.get(view.name, 0) - before, late)
    log.info(
        "view materialized",
        extra={
            "view": view.name,
            "start": iso(start),
            "end": iso(end),
            "read": counts.read,
            "written": counts.written,
            "late": counts.late,
            "duration_ms": round((time.monotonic() - began) * 1000),
        },
    )
    return counts


def count(
    connection: Connection, view: "FeatureView", start: datetime, end: datetime
) -> tuple[int, int]:
    """Rows of the window, and the late ones among them.

    A row is late when the view had been materialized past its time before it was loaded.
    """
    source = view.batch_source
    query = source.get_table_query_string().replace("%", "%%")
    row = connection.execute(
        f"""
        SELECT count(*), count(*) FILTER (WHERE as_of <= %(passed)s AND loaded_at > (
            SELECT max(started_at) FROM ops.runs
            WHERE command = 'materialize' AND outcome = 'done'
              AND (parameters->'views' = '[]' OR parameters->'views' ? %(view)s)))
        FROM (SELECT "{source.timestamp_field}" AS as_of,
                     "{source.created_timestamp_column or source.timestamp_field}" AS loaded_at
              FROM {query} AS source) AS rows
        WHERE as_of BETWEEN %(start)s AND %(end)s""",  # noqa: S608  # names from our definitions
        {
            "passed": max(newest_end(view), default=BEGINNING),
            "view": view.name,
            "start": start,
            "end": end,
        },
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
