"""Rows as answers of /features: bytes, of which all that can be is made once per selection."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from api.answer import instants, values
from api.answer import join_keys as keys
from api.answer.freshness import Freshness, nulls, numbers, without_missing, without_old
from api.reading.plan import Plan
from streamflow.catalog.contract import Contract
from streamflow.catalog.model import Service

Row = Any
"""What a plan's query gives: a driver's record, or in tests a tuple."""
VALUES = 2
"""Where in a row the event times of the views begin, which the values follow."""


class Entry(NamedTuple):
    """One user's answer but for what depends on the moment: ages and what they decide."""

    values: bytes
    """`{"user_id":…,"features":{…}`, without the closing brace."""
    as_of: tuple[int | None, ...]
    """By view, the instant that its values describe; None where it has no row."""
    begins: int
    ends: int
    """The values hold at instants after `begins` up to `ends`: where old ones are to be null,
    a later answer has more nulls."""


class Answers:
    """Writes the answers of one selection."""

    def __init__(self, plan: Plan, join_key: str) -> None:
        views = len(plan.views)
        self._as_of = slice(VALUES, VALUES + views)
        self._values = slice(VALUES + views, None)
        self._names = (join_key, *names_of(plan.contract))
        self._converts = converts(plan, values.plain)
        self._numbers = numbers(plan)
        self._nulls = nulls(plan, self._numbers)
        self._views = [Freshness(one) for one in plan.views]
        self._refuses = any(one.refuses for one in self._views)
        about = orjson.dumps({"service": plan.service or None, "contract": plan.hash})
        self._about = b',"metadata":' + about[:-1] + b',"views":{'
        self._batch_about = b',"metadata":' + about + b"}"
        self._last: tuple[tuple[int | None, ...], int, int, bytes] = ((), 0, 0, b"")

    def entry(self, row: Row, user_id: str, key: Any, now: int) -> Entry | None:
        """A row as an entry; None where no view has the user.

        Args:
            row: as the plan's query gives it.
            user_id: as it was asked for.
            key: the same as it is stored.
            now: the moment that decides which values are too old.
        """
        as_of: tuple[int | None, ...] = row[self._as_of]
        if as_of.count(None) == len(as_of):
            return None
        found, begins, ends = row[self._values], -instants.FOREVER, instants.FOREVER
        if self._converts:
            found = list(found)
            for at, convert in self._converts:
                if found[at] is not None:
                    found[at] = convert(found[at])
        if self._nulls or None in as_of:
            found = list(found)
            without_missing(found, as_of, self._numbers)
            begins, ends = without_old(found, as_of, self._nulls, now)
        content = dict(zip(self._names, (key, *found), strict=True))
        body = orjson.dumps({"user_id": user_id, "features": content})
        return Entry(body[:-1], as_of, begins, ends)

    def one(self, entry: Entry, now: int, is_kept: bool = False) -> bytes:
        """The answer for one user; `is_kept` marks one given although the database is away."""
        end = b'},"source":"cache"}}' if is_kept else b"}}}"
        return b"".join((entry.values, self._about, self._ages(entry.as_of, now), end))

    def many(self, entries: Sequence[Entry | None], asked: Sequence[Any], now: int) -> bytes:
        """The answer for the keys `asked`: known users, then the ids of the unknown ones."""
        found = [one for one in entries if one is not None]
        results = b",".join(
            [
                b"".join((one.values, b',"views":{', self._ages(one.as_of, now), b"}}"))
                for one in found
            ]
        )
        unknown = []
        if len(found) < len(entries):
            unknown = [
                keys.as_text(key) for key, one in zip(asked, entries, strict=True) if one is None
            ]
        tail = (b'],"unknown":', orjson.dumps(unknown), self._batch_about)
        return b"".join((b'{"results":[', results, *tail))

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
        text = b",".join(
            [view.text(instant, now) for view, instant in zip(self._views, as_of, strict=True)]
        )
        ends = min(
            view.changes(instant, now) for view, instant in zip(self._views, as_of, strict=True)
        )
        self._last = (as_of, now, ends, text)
        return text


def converts(
    plan: Plan, form: Callable[[Any], values.Convert | None]
) -> list[tuple[int, values.Convert]]:
    """Which values of a row have to be made others, by their number."""
    found = ((at, form(column.feature)) for at, column in enumerate(plan.columns))
    return [(at, convert) for at, convert in found if convert is not None]


def names_of(contract: Contract) -> list[str]:
    """Each feature's name in an answer: its own, or `view__name` where several have it."""
    uses = Counter(feature.name for feature in contract.features)
    return [
        feature.name if uses[feature.name] == 1 else f"{feature.view}__{feature.name}"
        for feature in contract.features
    ]


def summary(service: Service, contract: Contract) -> dict[str, Any]:
    """A service in the list of all."""
    unservable = {"unservable": service.unservable} if service.unservable else {}
    return {
        "name": service.name,
        "description": service.description,
        "contract": service.contract,
        "features": len(contract.features),
        **unservable,
    }


def described(service: Service, contract: Contract) -> dict[str, Any]:
    """A service with its features in order."""
    return {**summary(service, contract), "features": contract.described()}
