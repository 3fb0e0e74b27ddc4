"""Answers of /features as bytes, written from rows; what is the same in all is written once."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from api.answer import instants, values
from api.answer.freshness import Freshness, clear_missing, clear_old, positions_of, ttl_limits
from api.answer.join_keys import as_text
from api.plans.plan import Plan
from streamflow.catalog.contract import Contract
from streamflow.catalog.model import Service, StoredFeature

Row = Any
"""A row of a plan's query: a driver's record, or in tests a tuple."""
FIRST_EVENT_TIME = 2
"""The place in a row at which the event times of the views begin, which the values follow."""


class Entry(NamedTuple):
    """The part of one user's answer that stays the same while time goes on: all but the ages."""

    values: bytes
    """`{"user_id":…,"features":{…}`, without the closing brace."""
    as_of: tuple[int | None, ...]
    """By view, the instant that its values describe; None where it has no row."""
    begins: int
    ends: int
    """The values hold at instants after `begins` up to `ends`: where old ones are to be null,
    a later answer has more nulls."""
    stored: tuple[str, Any, Sequence[Any]] | None = None
    """In place of `values` where these depend on the request: id, key and columns."""


class Answers:
    """Writes the answers of one selection."""

    def __init__(self, plan: Plan, join_key: str) -> None:
        self._as_of = event_times(plan)
        self._values = slice(self._as_of.stop, None)
        self._names = (join_key, *names_of(plan.contract))
        self._conversions = conversions(plan, values.plain)
        self._computed = plan.computed
        self._positions = positions_of(plan)
        self._ttl_limits = ttl_limits(plan, self._positions)
        self._views = [Freshness(one.alias, one.view) for one in plan.views]
        self._shown = [
            (self._views[numbers[0]] if is_stored(plan, alias) else Freshness(alias, None), numbers)
            for alias, numbers in plan.shown.items()
        ]
        self._refuses = any(one.refuses for one in self._views)
        about = orjson.dumps(about_of(plan))
        self._about = b',"metadata":' + about[:-1] + b',"views":{'
        self._batch_about = b',"metadata":' + about + b"}"
        self._last: tuple[tuple[int | None, ...], int, int, bytes] = ((), 0, 0, b"")

    def entry(self, row: Row, user_id: str, key: Any, now: int) -> Entry | None:
        """A row as an entry; None where no view has the user.

        Args:
            row: of the plan's query.
            user_id: as it was asked for.
            key: the same as it is stored.
            now: the moment that decides which values are too old.
        """
        as_of: tuple[int | None, ...] = row[self._as_of]
        if as_of.count(None) == len(as_of):
            return None
        found, begins, ends = row[self._values], -instants.FOREVER, instants.FOREVER
        if self._conversions and self._computed is None:
            found = self._converted(list(found))
        if self._ttl_limits or None in as_of:
            found = list(found)
            clear_missing(found, as_of, self._positions)
            begins, ends = clear_old(found, as_of, self._ttl_limits, now)
        if self._computed is not None:
            if self._computed.request:
                return Entry(b"", as_of, begins, ends, (user_id, key, found))
            found = self._converted(self._computed.all_values(found))
        return Entry(self._written(user_id, key, found), as_of, begins, ends)

    def one(
        self,
        entry: Entry,
        now: int,
        is_kept: bool = False,
        given: Sequence[Any] = (),
        lag_s: float | None = None,
    ) -> bytes:
        """The answer for one user.

        Args:
            is_kept: mark it as one that is given although the database is away.
            given: the values of the request, where the plan takes some.
            lag_s: seconds that the replica may be behind; None where the primary was read.
        """
        end = b'},"source":"cache"}}' if is_kept else b"}}}"
        if lag_s is not None:
            end = b"}," + replica(lag_s) + b"}}"
        written = self._values_of(entry, given)
        return b"".join((written, self._about, self._ages(entry.as_of, now), end))

    def many(
        self,
        entries: Sequence[Entry | None],
        asked: Sequence[Any],
        now: int,
        given: Sequence[Sequence[Any]] = (),
        lag_s: float | None = None,
    ) -> bytes:
        """The answer for the keys `asked`: known users, then the ids of the unknown ones.

        Args:
            given: for each, the values of the request, where the plan takes some.
            lag_s: as `one` takes it.
        """
        rows = zip(entries, given or [()] * len(entries), strict=True)
        found = [(one, own) for one, own in rows if one is not None]
        results = b",".join(
            [
                b"".join(
                    (self._values_of(one, own), b',"views":{', self._ages(one.as_of, now), b"}}")
                )
                for one, own in found
            ]
        )
        unknown = []
        if len(found) < len(entries):
            unknown = [as_text(key) for key, one in zip(asked, entries, strict=True) if one is None]
        about = self._batch_about
        if lag_s is not None:
            about = about[:-2] + b"," + replica(lag_s) + b"}}"
        tail = (b'],"unknown":', orjson.dumps(unknown), about)
        return b"".join((b'{"results":[', results, *tail))

    def _values_of(self, entry: Entry, given: Sequence[Any]) -> bytes:
        """The values of an entry, computed now where they depend on the request."""
        if entry.stored is None or self._computed is None:
            return entry.values
        user_id, key, stored = entry.stored
        found = self._converted(self._computed.all_values(stored, given))
        return self._written(user_id, key, found)

    def _converted(self, found: list[Any]) -> list[Any]:
        """The values of the contract's features as an answer has them."""
        for at, convert in self._conversions:
            if found[at] is not None:
                found[at] = convert(found[at])
        return found

    def _written(self, user_id: str, key: Any, found: Sequence[Any]) -> bytes:
        content = dict(zip(self._names, (key, *found), strict=True))
        return orjson.dumps({"user_id": user_id, "features": content})[:-1]

    def _ages(self, as_of: tuple[int | None, ...], now: int) -> bytes:
        """The members of `views`, which are the same for all users of a month for a second.

        Raises:
            StaleFeatures: a view's values are too old to be answered.
        """
        last_as_of, begins, ends, text = self._last
        if as_of == last_as_of and begins <= now < ends:
            return text
        if self._refuses:
            for view, instant in zip(self._views, as_of, strict=True):
                view.require(instant, now)
        text = b",".join([self._age(view, numbers, as_of, now) for view, numbers in self._shown])
        ends = min(
            view.changes_at(instant, now) for view, instant in zip(self._views, as_of, strict=True)
        )
        self._last = (as_of, now, ends, text)
        return text

    def _age(
        self, view: Freshness, numbers: Sequence[int], as_of: Sequence[int | None], now: int
    ) -> bytes:
        """The age of a view's values; computed ones are as old as the oldest they come from."""
        if not numbers:
            return view.of_request
        if len(numbers) == 1:
            [number] = numbers
            own = self._views[number]
            return view.text(
                as_of[number], now, own is not view and own.is_stale(as_of[number], now)
            )
        known = [instant for at in numbers if (instant := as_of[at]) is not None]
        is_stale = any(self._views[at].is_stale(as_of[at], now) for at in numbers)
        return view.text(min(known, default=None), now, is_stale)


def replica(lag_s: float) -> bytes:
    """The member of the metadata that says how far the replica may be behind."""
    return b'"replica":{"lag_seconds":%.3f}' % lag_s


def is_stored(plan: Plan, alias: str) -> bool:
    """True for a view of a plan that is not computed."""
    return plan.computed is None or alias not in plan.computed.names


def about_of(plan: Plan) -> dict[str, Any]:
    """The part of the metadata that is the same in all answers of a plan."""
    about: dict[str, Any] = {"service": plan.service or None, "contract": plan.hash}
    if plan.superseded is None:
        return about
    at, by, ends = plan.superseded
    until = {} if ends is None else {"ends": to_the_second(ends)}
    return {**about, "superseded": {"at": to_the_second(at), "by": by, **until}}


def to_the_second(moment: datetime) -> str:
    """A moment in UTC, as 2024-01-31T00:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def answers_of(plan: Plan, join_key: str) -> Answers:
    """The writer of a plan's answers, made at its first use and kept with the plan."""
    answers: Answers | None = plan.writers.get(Answers)
    if answers is None:
        answers = plan.writers[Answers] = Answers(plan, join_key)
    return answers


def event_times(plan: Plan) -> slice:
    """The place of the views' event times in a row of a plan's query."""
    return slice(FIRST_EVENT_TIME, FIRST_EVENT_TIME + len(plan.views))


def is_unknown(plan: Plan, row: Row) -> bool:
    """True if no view of the plan has a row for the key that `row` is of."""
    return bool(row[event_times(plan)].count(None) == len(plan.views))


def conversions(
    plan: Plan, conversion_of: Callable[[StoredFeature], values.Convert | None]
) -> list[tuple[int, values.Convert]]:
    """The functions that convert values, each with the place of its feature in the contract."""
    found = ((at, conversion_of(feature)) for at, feature in enumerate(plan.features))
    return [(at, convert) for at, convert in found if convert is not None]


def names_of(contract: Contract) -> list[str]:
    """Each feature's name in an answer: its own, or `view__name` where several have it."""
    uses = Counter(feature.name for feature in contract.features)
    return [
        feature.name if uses[feature.name] == 1 else f"{feature.view}__{feature.name}"
        for feature in contract.features
    ]


def summary(service: Service, contract: Contract) -> dict[str, Any]:
    """A feature service as the list of all services shows it."""
    unservable = {"unservable": service.unservable} if service.unservable else {}
    return {
        "name": service.name,
        "description": service.description,
        "contract": service.contract,
        "features": len(contract.features),
        **unservable,
    }


def described(
    service: Service, contract: Contract, join_keys: dict[str, str], inputs: dict[str, str]
) -> dict[str, Any]:
    """A feature service with its features in order, and what it takes of a request."""
    takes = {"join_keys": join_keys, **({"inputs": inputs} if inputs else {})}
    return {**summary(service, contract), "features": contract.described(), **takes}
