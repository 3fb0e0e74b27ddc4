"""Makes the users of generated months: their person, subscription, activity and label.

A block of users has draws of its own, and others for each month, so that any month can be made
alone. The numbers that are written use only + - * / and rounding: numpy's vectorised exp and log
may differ in the last bit between processors, and then so would the files.
"""

import calendar
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
"""Values of some users by column, all of one length; words are kept as indexes into WORDS."""

FLAG = ("False", "True")
WORDS = {
    "user_gender": ("Female", "Male"),
    "plan_stream_tv": (*FLAG, ""),
    "plan_stream_movies": (*FLAG, ""),
    "contract_type": ("Month-to-month", "One year", "Two year"),
    "net_service": ("DSL", "Fiber optic", "No"),
}
MONTHLY, ONE_YEAR = 0, 1
DSL, FIBER, NO_NET = 0, 1, 2
UNKNOWN = 2  # third word of plan_stream_*: without internet nobody knows

KNOWN_USERS = ("7590-VHVEG", "0002-ORFBO")
KNOWN_JANUARY: dict[str, tuple[Any, Any]] = {
    "signup_date": (np.datetime64("2022-02-05"), np.datetime64("2022-01-28")),
    "user_gender": (0, 0),
    "user_is_senior": (False, False),
    "has_family": (True, True),
    "has_dependents": (False, True),
    "months_active": (1, 9),
    "plan_stream_tv": (0, 1),
    "plan_stream_movies": (0, 0),
    "contract_type": (MONTHLY, ONE_YEAR),
    "paperless_billing": (True, True),
    "monthly_fee": (29.85, 65.6),
    "total_paid": (29.85, 593.3),
    "net_service": (DSL, DSL),
    "watch_hours_30d": (24.483650766787413, 30.800698313296518),
    "avg_session_mins_7d": (29.14104464084511, 29.14104464084511),
    "unique_devices_30d": (3, 2),
    "skips_7d": (4, 7),
    "rebuffer_events_7d": (1, 1),
    "failed_payments_90d": (1, 0),
    "support_tickets_90d": (0, 2),
    "ticket_avg_resolution_hrs_90d": (16.0, 4.7),
    "churn_label": (False, False),
}
"""The real January of the two users whose values the documentation quotes."""

BLOCK = 50_000
"""Users made and written at a time: bounds memory, and paces the progress."""
ID_SPACE = 10_000 * 26**5
# Prime to ID_SPACE (2, 5 and 13), so i -> i * STEP + START is a bijection; neither known id is
# among its first million values. Smaller than 2**37, so that a million steps fit 64 bits.
ID_STEP, ID_START = 73_856_093_119, 28_411_760_317


@dataclass(frozen=True)
class Block:
    """Users of one month who are made and written together."""

    seed: int
    number: int
    """Of the block, from 0 on."""
    month: int
    """Months after January 2024."""
    rows: Columns
    """The calibrated columns, and the users' ids."""


def last_day(month: int) -> datetime.date:
    """The as_of of month_NNN: the last day of the month that many after January 2024."""
    year, index = divmod(month, 12)
    days = calendar.monthrange(2024 + year, index + 1)[1]
    return datetime.date(2024 + year, index + 1, days)


def user_ids(start: int, stop: int) -> NDArray[np.str_]:
    """The ids of users `start` up to `stop`, like 1234-ABCDE: the same for every seed.

    Users 0 and 1 are KNOWN_USERS; ids are unique for `stop` up to a million.
    """
    code = (np.arange(start, stop, dtype=np.int64) * ID_STEP + ID_START) % ID_SPACE
    text = np.full((stop - start, 10), ord("-"), dtype=np.uint32)
    for place in (3, 2, 1, 0):
        code, digit = np.divmod(code, 10)
        text[:, place] = digit + ord("0")
    for place in (9, 8, 7, 6, 5):
        code, letter = np.divmod(code, 26)
        text[:, place] = letter + ord("A")
    ids: NDArray[np.str_] = text.view("U10").ravel()
    known = KNOWN_USERS[start:stop]
    ids[: len(known)] = known
    return ids


def make_month(users: int, month: int, seed: int) -> Iterator[Block]:
    """Yield the users of month_NNN, block by block; the same arguments give the same values."""
    for block, start in enumerate(range(0, users, BLOCK)):
        rows = _subscriptions(default_rng([seed, block]), start, min(start + BLOCK, users))
        if start == 0:
            _put_known(rows)
        _activity(default_rng([seed, block, month + 1]), rows)
        if start == 0 and month == 0:
            _put_known(rows)
        rows["months_active"] += month
        rows["total_paid"] = np.rint((rows["total_paid"] + month * rows["monthly_fee"]) * 100) / 100
        yield Block(seed, block, month, rows)


def _put_known(rows: Columns) -> None:
    """Overwrite the first rows with what is known of January, in the columns that there are."""
    for column in rows.keys() & KNOWN_JANUARY.keys():
        rows[column][: len(KNOWN_USERS)] = KNOWN_JANUARY[column]


def _subscriptions(rng: Generator, start: int, stop: int) -> Columns:
    """Make users `start` up to `stop` as of January 2024: who they are and what they pay.

    Fees are in steps of 5 cents, and watch_hours_30d are what is usual of a user.
    """
    size = stop - start
    tenure = rng.integers(1, 73, size)
    net = rng.choice(3, size, p=[0.35, 0.45, 0.2])
    plans = np.where(net == NO_NET, UNKNOWN, rng.random((2, size)) < 0.5)
    fee = np.array([40, 70, 19])[net] + 10 * (plans == 1).sum(axis=0) + 20 * rng.random(size)
    fee = np.rint(fee * 20) * 5 / 100
    return {
        "user_id": user_ids(start, stop),
        "signup_date": (np.datetime64("2024-01", "M") - tenure).astype("datetime64[D]")
        + rng.integers(0, 28, size),
        "user_gender": rng.integers(0, 2, size),
        "user_is_senior": rng.random(size) < 0.16,
        "has_family": rng.random(size) < 0.5,
        "has_dependents": rng.random(size) < 0.3,
        "months_active": tenure,
        "plan_stream_tv": plans[0],
        "plan_stream_movies": plans[1],
        "contract_type": rng.choice(3, size, p=[0.55, 0.2, 0.25]),
        "paperless_billing": rng.random(size) < 0.6,
        "monthly_fee": fee,
        "total_paid": tenure * fee,
        "net_service": net,
        "watch_hours_30d": 10 + 40 * rng.random(size),
    }


def _activity(rng: Generator, rows: Columns) -> None:
    """Add a month's activity, around each user's own level, and the label.

    Who is bound by no contract, watches less or had trouble leaves more often.
    """
    size = len(rows["user_id"])
    noise = rng.standard_normal((3, size))
    hours = rows["watch_hours_30d"] = np.maximum(rows["watch_hours_30d"] + 2 * noise[0], 1)
    rows["avg_session_mins_7d"] = 14 + 0.5 * hours + 2 * noise[1]
    rows["unique_devices_30d"] = rng.integers(1, 4, size)
    rows["skips_7d"] = rng.poisson(5, size)
    rows["rebuffer_events_7d"] = rng.poisson(2, size)
    failed = rows["failed_payments_90d"] = rng.poisson(0.2, size)
    tickets = rows["support_tickets_90d"] = rng.poisson(0.4, size)
    rows["ticket_avg_resolution_hrs_90d"] = np.rint(np.clip(10 + 4 * noise[2], 1, 25) * 10) / 10
    chance = 0.3 * (rows["contract_type"] == MONTHLY) + 0.1 * (rows["net_service"] == FIBER)
    chance = chance + 0.1 * (failed + tickets) + 0.01 * (30 - hours)
    rows["churn_label"] = rng.random(size) < chance
