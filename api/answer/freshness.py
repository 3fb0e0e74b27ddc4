"""Ages of values: their text in an answer, and the nulls in place of values that are too old."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson

from api.answer import instants
from api.plans.plan import Plan
from streamflow.catalog.model import View
from streamflow.errors import StaleFeatures


class Freshness:
    """Writes the age of one view's values."""

    def __init__(self, name: str, view: View | None) -> None:
        """
        Args:
            view: None for one that is computed, whose values are as old as what they come from.
        """
        self.name = name
        fresh_for, ttl_s = (view.fresh_for_s, view.ttl_s) if view else (0, 0)
        self.fresh_for = instants.microseconds(fresh_for) if fresh_for else None
        self.ttl = instants.microseconds(ttl_s) if ttl_s else None
        self.refuses = bool(ttl_s and view and view.ttl_policy == "refuse")
        ttl = b',"ttl_seconds":' + orjson.dumps(plain_number(ttl_s)) if ttl_s else b""
        quoted = orjson.dumps(name)
        self._missing = (
            quoted + b':{"as_of":null,"age_seconds":null,"status":"missing"' + ttl + b"}"
        )
        self.of_request = quoted + b':{"as_of":null,"age_seconds":null,"status":"fresh"}'
        """The member of `views` where the values come from the request alone."""
        self._begin = quoted + b':{"as_of":"'
        self._fresh = b',"status":"fresh"' + ttl + b"}"
        self._stale = b',"status":"stale"' + ttl + b"}"

    def text(self, as_of: int | None, now: int, is_stale: bool = False) -> bytes:
        """The member of `views`; stale when older than `fresh_for`, or `is_stale` for a reason.

        A clock that is behind the database's makes no age negative.
        """
        if as_of is None:
            return self._missing
        age = max(now - as_of, 0)
        is_stale = is_stale or self.is_stale(as_of, now)
        return b'%b%b","age_seconds":%d%b' % (
            self._begin,
            instants.rfc3339(as_of).encode(),
            age // instants.SECOND,
            self._stale if is_stale else self._fresh,
        )

    def is_stale(self, as_of: int | None, now: int) -> bool:
        """True for values that are older than `fresh_for`."""
        return self.fresh_for is not None and as_of is not None and now - as_of > self.fresh_for

    def changes_at(self, as_of: int | None, now: int) -> int:
        """The next instant after `now` at which the text, or the refusal, may be another one."""
        if as_of is None:
            return instants.FOREVER
        age = max(now - as_of, 0)
        limits = [limit for limit in (self.fresh_for, self.ttl) if limit is not None]
        next_second = (age // instants.SECOND + 1) * instants.SECOND
        return as_of + min([next_second, *(limit + 1 for limit in limits if limit >= age)])

    def require(self, as_of: int | None, now: int) -> None:
        """Raise StaleFeatures if the view refuses values as old as these."""
        if self.refuses and self.ttl is not None and as_of is not None and now - as_of > self.ttl:
            age = timedelta(microseconds=now - as_of)
            raise StaleFeatures(self.name, age, timedelta(microseconds=self.ttl))


def positions_of(plan: Plan) -> list[list[int]]:
    """For each view of a plan, the positions of its values among those of a row."""
    positions: list[list[int]] = [[] for _ in plan.views]
    for at, column in enumerate(plan.columns):
        positions[column.view_number].append(at)
    return positions


def ttl_limits(plan: Plan, positions: Sequence[list[int]]) -> list[tuple[int, int, list[int]]]:
    """The views whose old values become null: number, ttl in microseconds, positions of values."""
    return [
        (number, instants.microseconds(one.view.ttl_s), positions[number])
        for number, one in enumerate(plan.views)
        if one.view.ttl_s and one.view.ttl_policy == "null"
    ]


def clear_missing(
    values: list[Any], as_of: Sequence[int | None], positions: Sequence[list[int]]
) -> None:
    """Set the values of each view that has no row for the user to None."""
    for instant, own in zip(as_of, positions, strict=True):
        if instant is None:
            for at in own:
                values[at] = None


def clear_old(
    values: list[Any],
    as_of: Sequence[int | None],
    limits: Sequence[tuple[int, int, list[int]]],
    now: int,
) -> tuple[int, int]:
    """Set the values that are older than their view's ttl at `now` to None.

    Returns:
        The instants after which, and up to which, the same values are null.
    """
    begins, ends = -instants.FOREVER, instants.FOREVER
    for view, ttl, own in limits:
        instant = as_of[view]
        if instant is None:
            continue
        if now - instant > ttl:
            begins = max(begins, instant + ttl)
            for at in own:
                values[at] = None
        else:
            ends = min(ends, instant + ttl)
    return begins, ends


def plain_number(value: float) -> float:
    """`value` as an int if it is whole, so that JSON writes it without a point."""
    return int(value) if value == int(value) else value
