"""Copies the newest values of a window into the online store, by the engine inside PostgreSQL.

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
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from psycopg import Connection

from jobs.run.instants import CLOCKS_DIFFER, iso
from jobs.run.ledger import Counts, Run
from jobs.run.urls import without_secrets
from streamflow import settings, snapshots
from streamflow.engine import materialize as inside
from streamflow.engine.transaction import Errors
from streamflow.errors import ConfigurationError, UnknownName
from streamflow.feast.registry.open import open_store, require_applied, translated
from streamflow.postgres import clock as ahead
from streamflow.postgres.connect import connect, lock
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores, own_stores
from streamflow.registry.views import plain_views

if TYPE_CHECKING:
    from feast import FeatureStore

    from streamflow.engine.ledger import Result

log = logging.getLogger(__name__)

OriginName = Literal["database", "lake"]

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def materialize(
    run: Run,
    start: datetime | None = None,
    end: datetime | None = None,
    views: Sequence[str] = (),
    force: bool = False,
    skip_if_running: bool = False,
    origin: OriginName = "database",
) -> None:
    """Materializes the rows with start <= as_of <= end; the newest of each user is served.

    So are rows before `start` that were loaded after the last materialization. No value
    replaces a newer one, unless `force` is set. Rows that are dated further ahead than
    STREAMFLOW_MAX_AHEAD_S allows are left out, counted as refused, and said. Where no row was there
    to be read, a warning and the run's message say so: a window that is wrong looks like that.

    Args:
        run: its counts and window are filled in.
        start: aware; None for everything from the first row on.
        end: aware, not in the future; None for now, which the database's clock says.
        views: feature views by name; none for all.
        force: serve exactly the window, although newer values were materialized.
        skip_if_running: do nothing when another materialization runs, instead of waiting.
        origin: what the rows are read from; the lake as it is when the run's turn has come.

    Raises:
        ConfigurationError: the window is upside down or ends in the future; a view is not served,
            or its features cannot be taken from its source. There is no lake, or it has not what
            a view needs; then nothing is written.
        UnknownName: no such feature view.
        ValueRefused: a view's source has a value that its feature cannot have; the other views
            are written.
        StreamflowError: a file of the lake is gone, or another one; nothing is written.
    """
    require_applied()
    stores = own_stores(settings.streamflow().feature_repo)
    with (
        nullcontext() if stores else open_store() as store,
        connect(autocommit=True) as connection,
    ):
        start, end = complete_window(connection, start, end)
        with lock(connection, "materialize", wait=not skip_if_running) as got:
            if got == "busy":
                run.message = "another materialization is running, nothing to do"
                log.info(run.message)
                return
            if got == "waited":
                log.info("waited for another materialization to end")
            run.window = (start, end)
            plain = plain_views(connection, stores, views) if stores else None
            if stores and plain is not None:
                if origin == "lake":
                    materialize_from_lake(stores, plain, start, end, force, run)
                else:
                    materialize_inside(stores, plain, start, end, force, run)
                return
            with nullcontext(store) if store else open_store() as opened:
                names = views_to_materialize(opened, views)
                if origin == "lake":
                    raise ConfigurationError(
                        f"feature views {', '.join(names)}: Feast is needed to compute or to read"
                        " some of them, which the lake has not; materialize from the database"
                    )
                materialize_views(opened, start, end, names, force, run)


def materialize_inside(
    stores: OwnStores,
    views: Sequence[PlainView],
    start: datetime,
    end: datetime,
    force: bool,
    run: Run,
) -> None:
    """Materializes views whose values are columns, which needs no import of Feast.

    A view that fails leaves the others done; the first error is raised when all were tried.
    """
    with connect(autocommit=True) as connection:
        results, errors = inside.materialize(connection, stores, views, start, end, force)
    report(run, results, errors, start, end)


def materialize_from_lake(
    stores: OwnStores,
    views: Sequence[PlainView],
    start: datetime,
    end: datetime,
    force: bool,
    run: Run,
) -> None:
    """Materializes views from one version of the lake, which the run's details name."""
    from streamflow.lake import materialize as from_lake
    from streamflow.lake.join import lake

    source = lake(snapshots.load(settings.streamflow().feature_repo))
    url = without_secrets(settings.streamflow().lake_url)
    run.details["lake"] = {"url": url, "versions": source.versions}
    with connect(autocommit=True) as connection:
        results, errors = from_lake.materialize(
            connection, stores, views, source, start, end, force
        )
    report(run, results, errors, start, end)


def report(
    run: Run, results: "dict[str, Result]", errors: Errors, start: datetime, end: datetime
) -> None:
    """Logs the results, adds them to the run, and raises the first error."""
    outcomes = {name: outcome_of(results[name]) for name in sorted(results)}
    log_outcomes(outcomes, start, end)
    add_outcomes(run, outcomes)
    for error in errors.values():
        with translated():
            raise error


def complete_window(
    connection: Connection, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    """Completes a window: from `start` or the first row to `end` or the database's time now.

    The database's clock decides, since that of a client or scheduler may be off: an `end` less
    than CLOCKS_DIFFER in the future means now.

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


def views_to_materialize(store: "FeatureStore", names: Sequence[str]) -> list[str]:
    """The feature views to materialize: those called `names`, or all that are served.

    Also stream feature views, and on-demand ones that are kept online.

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
    """True if a view is kept online, also one that is computed from others."""
    return is_on_demand(view) or bool(view.online)


def is_on_demand(view: Any) -> bool:
    """True if a view is computed on demand from others and kept online as well."""
    return bool(getattr(view, "write_to_online_store", False))


def materialize_views(
    store: "FeatureStore",
    start: datetime,
    end: datetime,
    views: list[str],
    force: bool,
    run: Run | None = None,
) -> None:
    """Materializes `views` by Feast, logs the counts of each, and adds them to `run`.

    A view that fails leaves the others done; the first error is raised when all were tried.
    """
    # Feast prints its progress: useful on a terminal, noise in a log.
    os.environ.setdefault("TQDM_DISABLE", "" if sys.stderr.isatty() else "1")
    store.config.online_store.force = force
    engine, online = store._get_provider().batch_engine, store._get_provider().online_store
    outcomes: dict[str, Outcome] = {}
    errors = []
    for group in feast_calls(store, views):
        engine.results, before = {}, dict(online.rows_written)
        try:
            with translated(), contextlib.redirect_stdout(io.StringIO()):
                store.materialize(start, end, group)
        except Exception as error:
            errors.append(error)
        found = {name: outcome_of(result) for name, result in engine.results.items()}
        for name in online.rows_written.keys() & set(group) - found.keys():
            count = online.rows_written[name] - before.get(name, 0)
            found[name] = Outcome("feast", Counts(count, count))
        outcomes |= dict(sorted(found.items()))
    log_outcomes(outcomes, start, end)
    if run is not None:
        add_outcomes(run, outcomes)
    if errors:
        raise errors[0]


def log_outcomes(outcomes: "dict[str, Outcome]", start: datetime, end: datetime) -> None:
    """Logs the counts of each view."""
    for name, one in outcomes.items():
        about = {"view": name, "way": one.way, "start": iso(start), "end": iso(end)}
        log.info("view materialized", extra={**about, **asdict(one.counts)})


def feast_calls(store: "FeatureStore", views: list[str]) -> list[list[str]]:
    """Groups views into calls of Feast, which ends one at the first on-demand view that fails."""
    known = {view.name: view for view in store.list_all_feature_views()}
    computed = [name for name in views if is_on_demand(known[name])]
    stored = [name for name in views if name not in computed]
    return [*([stored] if stored else []), *([name] for name in computed)]


class Outcome(NamedTuple):
    """The result of one view's materialization."""

    way: str
    """The way its rows took, by its name in ops.materializations."""
    counts: Counts
    held: int = 0
    """Keys whose stored row is too far ahead, and keeps all others back."""


def outcome_of(found: "Result") -> Outcome:
    """Converts a view's result to the ledger's counts; rows dated too far ahead are refused."""
    counts = Counts(
        read=found.read + found.ahead,
        written=found.written,
        late=found.late,
        unchanged=found.unchanged,
        refused=found.ahead,
        older=found.older,
    )
    return Outcome(found.way, counts, found.held)


def add_outcomes(run: Run, outcomes: dict[str, Outcome]) -> None:
    """Adds the counts of all views to a run, with a warning for whatever is not as it should be.

    Views without a row in the window are named, and rows that are dated too far ahead. A window
    with a start may leave a view out; one from the first row on never does.
    """
    for one in outcomes.values():
        run.counts.add(one.counts)
    start, end = run.window
    empty = [name for name, one in outcomes.items() if not one.counts.read]
    if empty and (start == BEGINNING or not run.counts.read):
        warn(run, f"no row from {iso(start)} to {iso(end)} of: {', '.join(empty)}")
    too_far = f"dated more than {ahead.allowed()} ahead of the database's clock"
    refused = {name: one.counts.refused for name, one in outcomes.items() if one.counts.refused}
    if refused:
        warn(run, f"{too_far} and left out, rows by view: {by_view(refused)}")
    if held := {name: one.held for name, one in outcomes.items() if one.held}:
        mend = "materialize --force, or delete those rows from the online table"
        warn(run, f"kept back by values {too_far}, users by view: {by_view(held)}; {mend}")


def warn(run: Run, text: str) -> None:
    """Logs a warning and adds it to the run's message."""
    run.message = f"{run.message}; {text}".removeprefix("; ")
    log.warning(text)


def by_view(numbers: dict[str, int]) -> str:
    """Formats counts by view in a line."""
    return ", ".join(f"{view} {number}" for view, number in numbers.items())
