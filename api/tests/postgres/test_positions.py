"""Positions of the primary's log prove how old a replica's values may be."""

import math
import time

import pytest

from api.errors import ReplicaRefused
from api.postgres.positions import NO_PRIMARY, Position, Primary, Server, end_of_records
from api.postgres.replica import OTHER_HISTORY, Replicas
from api.postgres.session import Session

PAGE, SEGMENT = 8192, 16 << 20
PRIMARY, PROMOTED, REPLICA = Server(1, 100), Server(1, 200), Server(1, 300)


@pytest.mark.parametrize(
    ("position", "end"),
    [
        (3 * SEGMENT + 40, 3 * SEGMENT),
        (3 * SEGMENT + PAGE + 24, 3 * SEGMENT + PAGE),
        (3 * SEGMENT + PAGE + 40, 3 * SEGMENT + PAGE + 40),  # the rest of a record is there
        (3 * SEGMENT + 48, 3 * SEGMENT + 48),
        (3 * SEGMENT + 5 * PAGE + 1024, 3 * SEGMENT + 5 * PAGE + 1024),
    ],
)
def test_a_position_behind_a_header_is_the_end_of_the_record_before(
    position: int, end: int
) -> None:
    assert end_of_records(position, PAGE, SEGMENT) == end


def primary(*ends: int, most_lag_s: float = 30) -> Primary:
    """A primary whose log had these ends at the moments 0, 1, …"""
    found = Primary(most_lag_s)
    for moment, end in enumerate(ends):
        found.take_in(PRIMARY, Position(moment, end))
    return found


@pytest.mark.parametrize(
    ("replayed", "moment"), [(9, None), (10, 0), (19, 0), (20, 2), (29, 2), (30, 3), (99, 3)]
)
def test_the_newest_position_counts_that_is_replayed(replayed: int, moment: float | None) -> None:
    assert primary(10, 20, 20, 30).had_all_until(replayed) == moment


def test_positions_of_a_log_that_was_lost_prove_nothing() -> None:
    found = primary(10, 20, 30)
    found.take_in(PROMOTED, Position(3, 25))
    assert found.had_all_until(24) == 1
    assert found.had_all_until(30) == 3
    assert found.server == PROMOTED
    found.take_in(Server(2, 100), Position(4, 40))
    assert found.had_all_until(39) is None


def test_positions_are_kept_for_as_long_as_they_may_be_used() -> None:
    found = primary(*range(100), most_lag_s=30)
    assert found.had_all_until(99 - 35) == 64
    assert found.had_all_until(99 - 36) is None


async def nowhere(_: object) -> Session:
    raise AssertionError


def replicas(of: Primary) -> Replicas:
    """Replicas that nobody connects to."""
    return Replicas(["replica"], 5432, of, nowhere, 1)


def test_a_replica_with_another_history_is_refused_until_the_primary_has_a_longer_one() -> None:
    """It replayed what a promoted server does not have, and waits there for what never comes."""
    now = time.monotonic()
    known = Primary(30)
    known.take_in(PRIMARY, Position(now - 1, 80))
    found = replicas(known)
    assert found.judge(REPLICA, 100, now) == now - 1
    known.take_in(PROMOTED, Position(time.monotonic(), 90))
    for _ in range(3):
        with pytest.raises(ReplicaRefused, match=OTHER_HISTORY):
            found.judge(REPLICA, 100, now)
        known.take_in(PROMOTED, Position(time.monotonic(), 95))
    known.take_in(PROMOTED, Position(time.monotonic(), 100))
    assert found.judge(REPLICA, 100, now) > now


def test_a_replica_that_is_asked_before_the_primary_is_known_is_refused() -> None:
    found = replicas(Primary(30))
    with pytest.raises(ReplicaRefused, match="not known yet"):
        found.judge(REPLICA, 100, time.monotonic())
    assert found.lag_s is None


@pytest.mark.parametrize("was_known", [False, True])
def test_the_reason_for_which_the_primary_tells_no_position_is_told(was_known: bool) -> None:
    known = primary(200) if was_known else Primary(30)
    known.refusal = NO_PRIMARY
    with pytest.raises(ReplicaRefused, match="takes no writes"):
        replicas(known).judge(REPLICA, 100, time.monotonic())


def test_the_lag_is_that_of_the_replica_which_is_most_behind() -> None:
    now = time.monotonic()
    known = Primary(30)
    known.take_in(PRIMARY, Position(now - 8, 80))
    known.take_in(PRIMARY, Position(now - 2, 90))
    found = replicas(known)
    assert found.judge(PRIMARY, None, now) == math.inf
    assert found.lag_s == 0
    found.judge(REPLICA, 95, now)
    assert found.lag_s == pytest.approx(2)
    found.judge(PROMOTED._replace(started=400), 85, now)
    assert found.lag_s == pytest.approx(8)
    with pytest.raises(ReplicaRefused, match="not known yet"):
        found.judge(PROMOTED._replace(started=500), 70, now)
    assert found.lag_s == math.inf
