"""The state of the feature store, read in one transaction."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from explorer.content.signs import SIGNS, State
from explorer.database import Connection
from explorer.definitions import Definitions, ViewInfo
from explorer.queries import audits, runs, statistics, views
from explorer.queries.audits import SkewOfFeature
from explorer.queries.runs import Run
from explorer.queries.statistics import Drifted, MonthOfTable
from explorer.queries.views import Materialized
from streamflow.statistics.summary import Summary


@dataclass(frozen=True)
class ViewRow:
    """A feature view in the table of all."""

    view: ViewInfo
    state: State
    word: str
    newest: datetime | None
    age: timedelta | None
    until: datetime | None
    keys: int | None
    """About how many keys have values online; None where that is not known."""
    waiting: datetime | None
    """The newest month that is loaded and not materialized; None where there is none."""

    @property
    def sign(self) -> str:
        """The shape of its state."""
        return SIGNS[self.state]


@dataclass(frozen=True)
class Found:
    """All that home is made of, from one state of the database."""

    now: datetime
    rows: Sequence[ViewRow]
    runs: Sequence[Run]
    months: Sequence[MonthOfTable]
    drift: Sequence[Drifted]
    unchanged: Set[tuple[str, str]]
    """Columns by table and name that are the same as in the month before, count for count."""
    newest: Mapping[tuple[str, str], Summary]
    """The newest month's statistics of the features' columns, by table and name."""
    audit: Run | None
    skew: Sequence[SkewOfFeature]
    served_otherwise: Mapping[tuple[str, str], Sequence[str]]
    """By view and feature: how the served values together differ from those of their month."""


def read(connection: Connection, defined: Definitions) -> Found:
    """Reads all that home shows."""
    now = views.now(connection)
    months = statistics.newest_months(connection)
    loaded = {one.table: one.instant for one in months}
    materialized = views.materialized(connection, defined.project)
    tables = sorted({one.stored.table for one in defined.views.values() if one.stored})
    keys = views.keys_online(connection, tables)
    audit = audits.last_audit(connection, defined.project)
    return Found(
        now=now,
        rows=[
            view_row(one, materialized.get(one.name), keys, loaded.get(one.table), now)
            for one in defined.views.values()
            if one.stored is not None
        ],
        runs=runs.last_of_each_command(connection, defined.project),
        months=months,
        drift=statistics.drift_of_newest(connection),
        unchanged=statistics.unchanged_columns(connection),
        newest={
            place: one
            for place, (_, one) in statistics.newest_of_columns(
                connection, list(defined.features_by_column())
            ).items()
        },
        audit=audit,
        skew=audits.skew(connection, audit.run) if audit else [],
        served_otherwise=audits.served_otherwise(connection, defined.project),
    )


def view_row(
    view: ViewInfo,
    found: Materialized | None,
    keys: Mapping[str, int],
    loaded: datetime | None,
    now: datetime,
) -> ViewRow:
    """A view with its state: stale by the limit that its ttl or a tag sets."""
    assert view.stored is not None  # noqa: S101  # home lists no others
    newest = found.newest_event if found else None
    age = now - newest if newest else None
    limit = timedelta(seconds=view.stored.fresh_for_s)
    state: State
    if found is None:
        state, word = "look", "never materialized"
    elif age is None:
        state, word = "look", "no values"
    elif limit and age >= limit:
        state, word = "look", "stale"
    else:
        state, word = "good", "fresh" if limit else "no limit of age"
    return ViewRow(
        view=view,
        state=state,
        word=word,
        newest=newest,
        age=age,
        until=found.until if found else None,
        keys=keys.get(view.stored.table) if found else None,
        waiting=loaded if loaded and (newest is None or loaded > newest) else None,
    )
