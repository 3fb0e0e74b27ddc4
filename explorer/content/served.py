"""A key's values as they are served, beside those that training would take now."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from explorer import words
from explorer.content.keys import Entity
from explorer.database import Connection
from explorer.definitions import Definitions, FeatureInfo, ViewInfo
from explorer.queries import users as values
from explorer.queries import views
from explorer.queries.users import History, Key, Online, SourceRow
from explorer.queries.views import Materialized
from streamflow.catalog.model import View


@dataclass(frozen=True)
class Cell:
    """A feature of the key: the value that is served, and the one that training would see."""

    feature: FeatureInfo
    served: str | None
    trained: str | None
    differs: bool


@dataclass(frozen=True)
class ViewOfKey:
    """A view's values of the key."""

    view: ViewInfo
    online: Online
    history: History
    newest: SourceRow | None
    """The row that training would take now; None where there is none, or it is too old."""
    age: timedelta | None
    """Of what is online."""
    reason: str
    """The reason why served and trained differ; empty where they do not."""
    cells: Sequence[Cell]


def read(
    connection: Connection,
    defined: Definitions,
    entity: Entity,
    key: Key,
    now: datetime,
    path: str,
) -> list[ViewOfKey]:
    """The values of a key in all views that are stored by it."""
    materialized = views.materialized(connection, defined.project)
    found = []
    for view in entity.views:
        assert view.stored is not None  # noqa: S101  # an entity's views are
        online = values.online(connection, view.stored, key)
        history = (
            values.history(connection, view.stored, view.plain, key, path)
            if view.plain is not None
            else History(fault="its source is not known here")
        )
        found.append(compared(view, view.stored, online, history, materialized.get(view.name), now))
    return found


def said(feature: FeatureInfo, value: str | None) -> str:
    """A value in words: an instant, which is online as seconds since 1970, as one."""
    if value is None:
        return "null"
    if feature.type == "UnixTimestamp":
        with suppress(ValueError, OverflowError, OSError):  # no date has it
            return words.instant(datetime.fromtimestamp(int(value), UTC))
    return words.shown(value)


def compared(
    view: ViewInfo,
    stored: View,
    online: Online,
    history: History,
    materialized: Materialized | None,
    now: datetime,
) -> ViewOfKey:
    """A view's values, with the reason where training would see others than are served."""
    newest = next((one for one in history.rows if one.event <= now), None)
    ttl = timedelta(seconds=stored.ttl_s)
    is_expired = newest is not None and bool(ttl) and now - newest.event > ttl
    trained: Mapping[str, str | None] = newest.values if newest and not is_expired else {}
    age = now - online.event if online.event else None
    is_hidden = age is not None and bool(ttl) and age > ttl and stored.ttl_policy != "serve"
    served = {} if is_hidden else online.values
    cells = [
        Cell(
            one,
            served.get(one.name),
            trained.get(one.name),
            not history.fault and served.get(one.name) != trained.get(one.name),
        )
        for one in view.features.values()
    ]
    reasons = []
    if any(one.differs for one in cells):
        reasons.append(why(online, newest, materialized, is_expired))
    elif is_hidden:
        reasons.append("Expired: older than the view's ttl, so that it is served as null.")
    if newest is not None and online.event is not None and newest.event > online.event:
        reasons += spoilt(online, history, materialized)
    shown = None if is_expired else newest
    return ViewOfKey(view, online, history, shown, age, " ".join(reasons), cells)


def spoilt(online: Online, history: History, materialized: Materialized | None) -> list[str]:
    """Says which values are not those of the row that they are from, if a newer one hides that."""
    row = next((one for one in history.rows if one.event == online.event), None)
    if row is None or materialized is None:
        return []
    if row.created is not None and row.created > materialized.seen_at:
        return []  # corrected since, and so to be expected
    wrong = [name for name, value in online.values.items() if row.values.get(name) != value]
    if not wrong:
        return []
    are = "is" if len(wrong) == 1 else "are"
    return [
        f"Differs as well: {words.listed(wrong)} {are} not as in the row of"
        f" {words.instant(row.event)}, which is online."
    ]


def why(
    online: Online, newest: SourceRow | None, materialized: Materialized | None, is_expired: bool
) -> str:
    """The reason why a view's values are served otherwise than training would see them."""
    if materialized is None:
        return "Not yet materialized: the view never was."
    if newest is None:
        return "Differs: it is online, and its source has no row of it."
    if is_expired:
        return (
            f"Expired: the row of {words.instant(newest.event)} is older than the view's ttl, so"
            " that training takes none."
        )
    if online.event is None or newest.event > online.event:
        return f"Not yet materialized: the row of {words.instant(newest.event)} is not online yet."
    if newest.created is not None and newest.created > materialized.seen_at:
        return (
            f"Not yet materialized: the row was corrected at {words.minute(newest.created)}, after"
            " the last materialization."
        )
    return "Differs: online are other values than in the source. Run streamflow audit."
