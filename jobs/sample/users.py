"""The users of the generated months: who they are, how they change, who leaves.

Every draw comes from PCG64 seeded with (seed, month, block of users), and the numbers that are
written use only + - * / and rounding: numpy's vectorised exp and log may differ in the last
bit between processors, and then so would the files.
"""

import calendar
import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
"""Some users' values by column name, all of one length; words are kept as places in WORDS."""

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

BLOCK = 50_000  # users made and written at a time: bounds memory, and paces the progress
ID_SPACE = 10_000 * 26**5
# Prime to ID_SPACE (2, 5 and 13), so i -> i * STEP + START is a bijection; neither known id is
# among its first million values. Smaller than 2**37, so that a million steps fit 64 bits.
ID_STEP, ID_START = 73_856_093_119, 28_411_760_317

# Shares of the real months: users with a tenure below each edge in months, ...
TENURE_EDGES = (0, 1, 2, 4, 7, 13, 25, 37, 49, 61, 67, 72, 73)
TENURE_BELOW = (0, 0.002, 0.089, 0.151, 0.21, 0.31, 0.456, 0.574, 0.682, 0.8, 0.866, 0.949, 1)
# ... contract by tenure, ...
CONTRACT_MONTHS = (0, 3, 9, 18, 36, 54, 66, 72)
MONTHLY_SHARE = (0.97, 0.94, 0.82, 0.72, 0.50, 0.28, 0.11, 0.02)
TWO_YEAR_SHARE = (0.02, 0.02, 0.06, 0.09, 0.17, 0.33, 0.65, 0.85)
# ... internet by contract (below the first: DSL; below the second: fiber), ...
NET_BELOW = np.array([[0.316, 0.865], [0.387, 0.753], [0.371, 0.624]])
# ... and movies, TV for those without and with movies, paperless bills: by internet.
MOVIES_SHARE = np.array([0.405, 0.566, 0.0])
TV_SHARE = np.array([[0.23, 0.64], [0.33, 0.75], [0.0, 0.0]])
PAPERLESS_SHARE = np.array([0.55, 0.77, 0.29])
# Each month a few contracts change, by contract before (below the first: to month-to-month;
# below the second: to one year). Balanced, so the shares above last.
CONTRACT_MOVES = np.array([[0.986, 0.996], [0.022, 0.989], [0.012, 0.018]])


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


def make_month(blocks: list[Columns], users: int, month: int, seed: int) -> Iterator[Columns]:
    """Yield the month's users block by block; `blocks` carries them from month to month."""
    for block, start in enumerate(range(0, users, BLOCK)):
        rng = default_rng(SeedSequence([seed, month, block]))
        if month == 0:
            blocks.append(_first_month(rng, start, min(start + BLOCK, users)))
        else:
            _next_month(rng, blocks[block])
        yield blocks[block]


def _first_month(rng: Generator, start: int, stop: int) -> Columns:
    rows: Columns = {"user_id": user_ids(start, stop)}
    _sign_up(rng, rows)
    _subscribe(rng, rows)
    strain = _strain(rows)
    noise = rng.standard_normal((2, stop - start))
    rows["watch_hours_30d"] = np.clip(_usual_hours(strain) + 6.5 * noise[0], 0, 720)
    rows["avg_session_mins_7d"] = np.clip(_usual_minutes(rows) + 4 * noise[1], 1, 10_080)
    rows["unique_devices_30d"] = rng.integers(1, 4, stop - start)
    _count(rng, rows, strain)
    if start == 0:
        for column, values in KNOWN_JANUARY.items():
            rows[column][: len(KNOWN_USERS)] = values
    return rows


def _next_month(rng: Generator, rows: Columns) -> None:
    """Move `rows` one month on, in place; who the users are and what they pay stays."""
    size = len(rows["user_id"])
    rows["months_active"] += 1
    rows["total_paid"] = np.rint((rows["total_paid"] + rows["monthly_fee"]) * 100) / 100
    rows["contract_type"] = _pick(rng, CONTRACT_MOVES[rows["contract_type"]])
    strain = _strain(rows)
    noise = rng.standard_normal((2, size))
    # Slow returns to the usual, with the noise that keeps the spread of the first month.
    hours, minutes = _usual_hours(strain), rows["avg_session_mins_7d"]
    hours += 0.99 * (rows["watch_hours_30d"] - hours) + 0.92 * noise[0]
    rows["watch_hours_30d"] = np.clip(hours, 0, 720)
    minutes += 0.1 * (_usual_minutes(rows) - minutes) + 1.75 * noise[1]
    rows["avg_session_mins_7d"] = np.clip(minutes, 1, 10_080)
    changed = rng.random(size) < 0.1
    rows["unique_devices_30d"][changed] = rng.integers(1, 4, int(changed.sum()))
    _count(rng, rows, strain)


def _sign_up(rng: Generator, rows: Columns) -> None:
    """Who the users are, and for how long: those of K months came on a day of K months ago."""
    draw = rng.random((6, len(rows["user_id"])))
    tenure = np.interp(draw[0], TENURE_BELOW, TENURE_EDGES).astype(np.int64)
    came = np.datetime64("2024-01", "M") - tenure.astype("timedelta64[M]")
    first = came.astype("datetime64[D]")
    days = ((came + 1).astype("datetime64[D]") - first).astype(np.int64)
    rows["months_active"] = tenure
    rows["signup_date"] = first + (draw[1] * days).astype("timedelta64[D]")
    rows["user_gender"] = (draw[2] < 0.505).astype(np.int8)
    rows["user_is_senior"] = draw[3] < 0.162
    rows["has_family"] = draw[4] < 0.483
    rows["has_dependents"] = draw[5] < np.where(rows["has_family"], 0.514, 0.099)


def _subscribe(rng: Generator, rows: Columns) -> None:
    """What the users have and pay: fees in steps of 5 cents, totals in cents."""
    tenure = rows["months_active"]
    draw = rng.random((4, tenure.size))
    noise = rng.standard_normal((2, tenure.size))
    monthly = np.interp(tenure, CONTRACT_MONTHS, MONTHLY_SHARE)
    two_year = np.interp(tenure, CONTRACT_MONTHS, TWO_YEAR_SHARE)
    rows["contract_type"] = _pick(rng, np.stack([monthly, 1 - two_year], axis=1))
    net = rows["net_service"] = _pick(rng, NET_BELOW[rows["contract_type"]])
    movies = (draw[0] < MOVIES_SHARE[net]).astype(np.int8)
    tv = (draw[1] < TV_SHARE[net, movies]).astype(np.int8)
    rows["plan_stream_movies"] = np.where(net == NO_NET, UNKNOWN, movies)
    rows["plan_stream_tv"] = np.where(net == NO_NET, UNKNOWN, tv)
    rows["paperless_billing"] = draw[2] < PAPERLESS_SHARE[net]
    # Fees by part: internet, phone (fiber includes it), extras that come with the years.
    extras = rng.binomial(np.array([5, 5, 1])[net], 0.3 + 0.35 * tenure / 72)
    phone = 20 * ((net == DSL) & (draw[3] < 0.72))
    fee = np.array([25, 70, 20])[net] + phone + 10 * (movies + tv) + 5 * extras + 0.7 * noise[0]
    rows["monthly_fee"] = np.rint(np.clip(fee, 18.25, 118.75) * 20) * 5 / 100
    paid = tenure * rows["monthly_fee"] * (1 + (tenure > 1) * np.clip(0.05 * noise[1], -0.5, 0.5))
    rows["total_paid"] = np.rint(paid * 100) / 100


def _count(rng: Generator, rows: Columns, strain: NDArray[Any]) -> None:
    """Fresh counts of the month, and the label that follows from them."""
    rows["skips_7d"] = rng.poisson(4.5 + strain)
    rows["rebuffer_events_7d"] = rng.poisson(1.8 + strain)
    failed = rows["failed_payments_90d"] = rng.poisson(0.05 + 0.22 * strain)
    tickets = rows["support_tickets_90d"] = rng.poisson(0.1 + 0.4 * strain)
    hours = 10 + 3.9 * rng.standard_normal(strain.size)
    rows["ticket_avg_resolution_hrs_90d"] = np.rint(np.clip(hours, 1, 25) * 10) / 10
    risk = (
        np.array([-0.9, -1.9, -2.9])[rows["contract_type"]]
        + np.array([0.0, 0.7, -0.7])[rows["net_service"]]
        - 1.7 * np.minimum(rows["months_active"], 72) / 72
        + 0.005 * rows["monthly_fee"]
        + 0.5 * tickets
        + 0.5 * failed
        + 0.04 * (30 - rows["watch_hours_30d"])
    )
    # The same law as a draw below 1 / (1 + exp(-risk)), without the exponential.
    rows["churn_label"] = risk + rng.logistic(size=risk.size) > 0


def _strain(rows: Columns) -> NDArray[Any]:
    """From 0 (settled) to 1 (likely to leave), by contract, tenure, internet and fee."""
    newness = 1 - np.minimum(rows["months_active"], 72) / 72
    strain: NDArray[Any] = (
        0.35 * (rows["contract_type"] == MONTHLY)
        + 0.3 * newness
        + 0.2 * (rows["net_service"] == FIBER)
        + 0.15 * rows["monthly_fee"] / 118.75
    )
    return strain


def _usual_hours(strain: NDArray[Any]) -> NDArray[Any]:
    return 33 - 6 * strain


def _usual_minutes(rows: Columns) -> NDArray[Any]:
    minutes: NDArray[Any] = 14 + 0.5 * rows["watch_hours_30d"]
    return minutes


def _pick(rng: Generator, below: NDArray[Any]) -> NDArray[np.int8]:
    """One place 0, 1 or 2 per row of `below`, which has the share below 1 and that below 2."""
    place: NDArray[np.int8] = (rng.random((len(below), 1)) >= below).sum(axis=1, dtype=np.int8)
    return place
