"""The contracts that services have had, and why one of them cannot be answered any more.

A database keeps the list behind each contract (`ops.contracts`), so that a model of an older one
goes on being answered by its own list. That holds as long as each of its columns means what it
meant: the same view, type and column of the source.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from streamflow.catalog.contract import Contract, Feature

READ_KNOWN = """
    SELECT service, contract, features::text, views::text,
           since AT TIME ZONE 'UTC', superseded_at AT TIME ZONE 'UTC',
           ends_at AT TIME ZONE 'UTC', ended_at AT TIME ZONE 'UTC'
    FROM ops.contracts WHERE project = {project} ORDER BY service, since, contract"""
"""One row for each contract, see parse_known; {project} is an expression of SQL."""
IS_READABLE = "SELECT coalesce(has_table_privilege(to_regclass('ops.contracts'), 'SELECT'), false)"
"""True where there is a list of contracts, and the current role may read it."""

Key = tuple[str, str]
"""A service and the hash of one of its contracts."""


class Stored(NamedTuple):
    """A feature as a view stores it."""

    type: str
    """Feast's type: Int64, Float32, …"""
    source: str
    """The source's name and its column, `name.column`; empty where that is unknown."""


Views = Mapping[str, Mapping[str, Stored]]
"""The stored features by view and name."""


@dataclass(frozen=True)
class KnownFeature:
    """One feature of a contract's list."""

    view: str
    """The view's name in answers."""
    name: str
    type: str
    source: str
    """The data source and its column; see Stored."""


@dataclass(frozen=True)
class KnownView:
    """A view that a contract reads, as the service used it."""

    alias: str
    """Its name in answers."""
    view: str
    """Its name in the registry."""
    join_keys: dict[str, str]
    """From the view's join key to the name under which requests give it; {} for the same."""


@dataclass(frozen=True)
class KnownContract:
    """A contract of a service, with its list in order."""

    service: str
    hash: str
    features: tuple[KnownFeature, ...]
    views: tuple[KnownView, ...]
    since: datetime | None = None
    """The moment from which on it was the present one; None if it is not in the database yet."""
    superseded: datetime | None = None
    """The moment from which on the service had another, or was gone; None for the present one."""
    ends: datetime | None = None
    """The moment after which an apply ends it, where that is configured."""
    ended: datetime | None = None
    """The moment from which on it is not answered any more, whatever the columns are."""

    @property
    def key(self) -> Key:
        """Its service and hash."""
        return self.service, self.hash

    @property
    def is_present(self) -> bool:
        """True for the contract that its service has."""
        return self.superseded is None

    @property
    def contract(self) -> Contract:
        """The list as a contract, without descriptions."""
        features = (Feature(one.view, one.name, one.type, "") for one in self.features)
        return Contract(self.service, tuple(features))

    def names_of(self, alias: str) -> tuple[str, ...]:
        """The features that it takes of the view `alias`, in order."""
        return tuple(one.name for one in self.features if one.view == alias)


def list_behind(
    contract: Contract, views: Sequence[KnownView], sources: Mapping[str, Mapping[str, str]]
) -> KnownContract:
    """The list behind a contract, without times.

    Args:
        views: those that the service uses, each feature's among them.
        sources: by view in the registry and feature, the source and its column, see Stored.
    """
    stored = {one.alias: sources.get(one.view, {}) for one in views}
    features = (
        KnownFeature(one.view, one.name, one.type, stored[one.view].get(one.name, ""))
        for one in contract.features
    )
    return KnownContract(contract.service, contract.hash, tuple(features), tuple(views))


def parse_known(row: Sequence[Any]) -> KnownContract:
    """The contract of a row of READ_KNOWN: lists are JSON texts, times UTC without a zone."""
    service, hash_, features, views, *times = row
    since, superseded, ends, ended = (one and one.replace(tzinfo=UTC) for one in times)
    return KnownContract(
        service,
        hash_,
        tuple(
            KnownFeature(one["view"], one["name"], one["type"], one["source"])
            for one in json.loads(features)
        ),
        tuple(
            KnownView(one["alias"], one["view"], dict(one["join_keys"]))
            for one in json.loads(views)
        ),
        since,
        superseded,
        ends,
        ended,
    )


def differences(known: KnownContract, stored: Views) -> tuple[str, ...]:
    """The reasons why `stored` is not what the list of `known` means, a phrase each; () for none.

    A source that is unknown on either side is taken for the same.
    """
    of = {one.alias: one.view for one in known.views}
    found = []
    for one in known.features:
        view = of[one.view]
        now = stored.get(view, {}).get(one.name)
        what = f"{one.view}:{one.name}"
        if view not in stored:
            found.append(f"{what} was {one.type} of feature view {view}, which is not online")
        elif now is None:
            found.append(f"{what} was {one.type}, which feature view {view} does not have any more")
        elif now.type != one.type:
            found.append(f"{what} was {one.type}, is {now.type}")
        elif one.source and now.source and one.source != now.source:
            found.append(f"{what} was taken from {one.source}, is taken from {now.source}")
    return tuple(found)


def advanced(
    known: Iterable[KnownContract], present: Iterable[KnownContract], at: datetime
) -> dict[Key, KnownContract]:
    """The contracts after a moment from which on the services have those of `present`.

    A contract that comes back is the present one again, also where it had ended.
    """
    found = {one.key: one for one in known}
    now = {one.key: one for one in present}
    for key, one in found.items():
        if one.superseded is None and key not in now:
            found[key] = replace(one, superseded=at)
    for key, one in now.items():
        before = found.get(key)
        since = before.since if before is not None and before.is_present else at
        found[key] = replace(one, since=since, superseded=None, ends=None, ended=None)
    return found


def retained(
    known: Mapping[Key, KnownContract], days: int, now: datetime
) -> dict[Key, KnownContract]:
    """The contracts, of which those end that were superseded `days` ago; none does for 0."""
    found = {}
    for key, one in known.items():
        if one.superseded is not None and one.ended is None:
            ends = one.superseded + timedelta(days=days) if days else None
            is_over = ends is not None and ends <= now
            one = replace(one, ends=ends, ended=now if is_over else None)
        found[key] = one
    return found
