"""A user, or another key: what is served, what training would see, and the months before."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from explorer import words
from explorer.database import Connection
from explorer.definitions import Definitions, FeatureInfo, ViewInfo
from explorer.pages import links, site
from explorer.pages.errors import NotThere
from explorer.queries import users as values
from explorer.queries import views
from explorer.queries.users import History, Key, Online, SourceRow
from explorer.queries.views import Materialized
from streamflow.catalog.layout import NO_KEY
from streamflow.catalog.model import View
from streamflow.errors import ConfigurationError
from streamflow.postgres.search_path import of_sources

LARGEST = {"bigint": 2**63, "integer": 2**31}
"""One more than the largest number of a type."""
TRUTHS = {"true": True, "false": False}


class NoKey(ValueError):
    """A text is no key of its type; its text says why."""


@dataclass(frozen=True)
class Entity:
    """Join keys by which views are asked together."""

    name: str
    """The keys with commas, as in an address."""
    keys: tuple[str, ...]
    types: tuple[str, ...]
    """PostgreSQL's type of each."""
    views: tuple[ViewInfo, ...]


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


def users(request: Request) -> Response:
    """The page `/users?by=&id=`."""
    here = site.of(request)
    if not here.settings.show_users:
        raise NotThere(
            "This explorer shows no single users: STREAMFLOW_EXPLORER_SHOW_USERS is false.",
            "Distributions of features are shown to everybody.",
            links.FEATURES,
            "Features",
        )
    given = request.query_params.getlist("id")
    fault, found = "", None
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        entities = entities_of(defined)
        entity = chosen(entities, request.query_params.get("by", ""))
        now = views.now(connection)
        if entity is not None and any(given):
            try:
                key = key_of(entity, given)
            except NoKey as error:
                fault = str(error)
            else:
                path = search_path(here.settings.source_schemas)
                found = read(connection, defined, entity, key, now, path)
    return here.page(
        "users",
        defined=defined,
        entities=entities,
        entity=entity,
        given=dict(zip(entity.keys, [*given, *[""] * len(entity.keys)], strict=False))
        if entity
        else {},
        asked=any(given),
        fault=fault,
        found=found,
        is_known=bool(found) and any(one.online.event or one.history.rows for one in found or ()),
        said=said,
    )


def search_path(schemas: str) -> str:
    """PostgreSQL's search_path for sources whose schema is not named."""
    try:
        return of_sources(schemas)
    except ConfigurationError:
        return "public"


def entities_of(defined: Definitions) -> list[Entity]:
    """The join keys that views are stored by, those of most views first; none without a key."""
    groups: dict[tuple[tuple[str, str], ...], list[ViewInfo]] = {}
    for view in defined.views.values():
        if view.stored is not None:
            keys = tuple((one.name, one.type) for one in view.stored.keys)
            if [name for name, _ in keys] != [NO_KEY]:
                groups.setdefault(keys, []).append(view)
    ordered = sorted(groups.items(), key=lambda one: (-len(one[1]), one[0]))
    return [
        Entity(
            ",".join(name for name, _ in keys),
            tuple(name for name, _ in keys),
            tuple(type_ for _, type_ in keys),
            tuple(several),
        )
        for keys, several in ordered
    ]


def chosen(entities: Sequence[Entity], by: str) -> Entity | None:
    """The entity of a name; the first one where none is named; None where there is none."""
    if by:
        for one in entities:
            if one.name == by:
                return one
        raise NotThere(
            f"No feature view is stored by {words.shown(by)}.",
            "Choose among the keys that there are.",
            links.USERS,
            "Choose a key",
        )
    return entities[0] if entities else None


def key_of(entity: Entity, given: Sequence[str]) -> Key:
    """The texts of an address as values of the key's types.

    Raises:
        NoKey: one is none of its type, or there are too few or too many.
    """
    if len(given) != len(entity.keys):
        raise NoKey(f"A key of these views is {words.listed(list(entity.keys))}.")
    return tuple(
        value_of(name, type_, text)
        for name, type_, text in zip(entity.keys, entity.types, given, strict=True)
    )


def value_of(name: str, type_: str, text: str) -> object:
    """A text as a value of a type."""
    if type_ in LARGEST:
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
            raise NoKey(f"{name} is a whole number, and {words.shown(text)} is none.")
        value = int(text)
        if not -LARGEST[type_] <= value < LARGEST[type_]:
            raise NoKey(f"{name} is a whole number of type {type_}, which {text} is too large for.")
        return value
    if type_ == "boolean":
        if text.strip().lower() not in TRUTHS:
            raise NoKey(f"{name} is true or false, and {words.shown(text)} is neither.")
        return TRUTHS[text.strip().lower()]
    if "\0" in text:
        raise NoKey(f"No {name} has a NUL character, which PostgreSQL's texts cannot hold.")
    return text.encode() if type_ == "bytea" else text


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
    reason = ""
    if any(one.differs for one in cells):
        reason = why(online, newest, materialized, is_expired)
    elif is_hidden:
        reason = "Expired: older than the view's ttl, so that it is served as null."
    return ViewOfKey(view, online, history, None if is_expired else newest, age, reason, cells)


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
