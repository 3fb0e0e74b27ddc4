"""The online features of keys, each view with its time: of a service whose views are plain."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from streamflow.catalog.layout import NO_KEY
from streamflow.errors import StaleFeatures
from streamflow.online.plan import Placed, ViewRead, plan_of
from streamflow.online.read import Row, rows
from streamflow.online.values import UNREADABLE, python_value
from streamflow.registry.plain import PlainView
from streamflow.registry.services import PlainProjection, PlainService

log = logging.getLogger(__name__)

Key = Mapping[str, Any]
"""A request's values by name; {} for a service that is asked without a key."""


@dataclass(frozen=True)
class Vector:
    """The online features of a key."""

    key: Key
    values: dict[str, Any]
    """By feature reference (`view:name`), in the contract's order; null and missing are None.

    A 32-bit float is the Python float it equals, so 29.85 is 29.850000381469727.
    """
    as_of: dict[str, datetime | None] = field(default_factory=dict)
    """By view: the instant its values describe, UTC; None where it has no row of the key.

    What Feast computes on demand is as old as the oldest row that it is computed from.
    """

    @property
    def found(self) -> bool:
        """True where any view has a row of this key."""
        return any(instant is not None for instant in self.as_of.values())

    @property
    def user_id(self) -> str:
        """The key of a service of users."""
        return self.name

    @property
    def name(self) -> str:
        """The key as a person writes it: its value, or `driver_id=1, user_id=a` for several."""
        if len(self.key) == 1:
            return str(*self.key.values())
        return ", ".join(f"{name}={value}" for name, value in self.key.items())


@dataclass(frozen=True)
class ProjectionRead(ViewRead):
    """The features that a service reads from one view."""

    used: PlainProjection


def read(connection: Connection, service: PlainService, keys: Sequence[Key]) -> list[Vector]:
    """The vectors of `keys`, in their order; one that is unknown is empty (`found` is False).

    Args:
        keys: each with a value for every join key, by the names that the service gives them.

    Raises:
        StaleFeatures: a row is older than its view's ttl, and the policy is to refuse it.
    """
    plan = plan_of([read_of(one) for one in service.projections])
    found = [
        rows(connection, table, (primary_key(one, key) for one in table.reads for key in keys))
        for table in plan.tables
    ]
    now = datetime.now(UTC)
    vectors = []
    for key in keys:
        values: dict[str, Any] = {}
        as_of: dict[str, datetime | None] = {}
        for placed in plan.views:
            row = found[placed.table].get(primary_key(placed.read, key))
            name = placed.read.used.name
            time = row[placed.at] if row else None
            as_of[name] = time and time.astimezone(UTC)
            if row and time and is_shown(placed.read.used.view, time, now):
                values |= values_of(placed, row)
        references = [one.reference for one in service.contract.features]
        vectors.append(Vector(key, {one: values.get(one) for one in references}, as_of))
    return vectors


def read_of(used: PlainProjection) -> ProjectionRead:
    """The read of a view."""
    layout = used.view.layout
    features = tuple(name for name in layout.features if name in used.features)
    asked_as = tuple(used.join_key_map.get(name, name) for name in layout.join_keys)
    return ProjectionRead(layout, features, asked_as, used)


def primary_key(read: ViewRead, key: Key) -> Row:
    """The row that a request means, by primary key."""
    return tuple("" if name == NO_KEY else key[name] for name in read.asked_as)


def is_shown(view: PlainView, time: datetime, now: datetime) -> bool:
    """True where the values of an event time are served; those past their ttl may be null.

    Raises:
        StaleFeatures: they are older than the view's ttl, and the policy is to refuse them.
    """
    if view.ttl_policy == "serve" or not view.ttl or now - time <= view.ttl:
        return True
    if view.ttl_policy == "refuse":
        raise StaleFeatures(view.name, now - time, view.ttl)
    return False


def values_of(placed: Placed[ProjectionRead], row: Row) -> Iterator[tuple[str, Any]]:
    """The features of a view in a row, by reference."""
    used = placed.read.used
    for name, found in zip(placed.read.features, row[placed.at + 1 :], strict=False):
        try:
            value = python_value(used.view.types[name], found)
        except UNREADABLE:
            value = None
            log.warning(
                "a stored value is none of its type and is served as null; materialize again",
                extra={"view": used.view.name, "feature": name},
            )
        yield f"{used.name}:{name}", value
