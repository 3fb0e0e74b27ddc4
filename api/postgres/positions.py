"""Positions of the primary's log at known moments, which prove how much a replica has.

A replica that has replayed the log up to where the primary's was at a moment has all that was
committed before that moment. That holds however idle the primary is, and whether or not the
replica still receives anything, which neither the time of its last transaction nor what it has
received would tell. Both positions are of one server each, compared here by one clock.
"""

import time
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from api.postgres.session import Session, deadline

SERVER = """(SELECT system_identifier FROM pg_catalog.pg_control_system()) AS cluster,
            pg_postmaster_start_time() AS started"""
"""The identity of a cluster, which its replicas share, and of one run of one server of it."""
POSITION = f"""
    SELECT CASE WHEN NOT pg_is_in_recovery()
                THEN (pg_current_wal_insert_lsn() - '0/0')::int8 END AS position,
           current_setting('wal_block_size')::int8 AS page,
           pg_size_bytes(current_setting('wal_segment_size')) AS segment,
           {SERVER}"""  # of constants
"""The end of the log, beyond all commits that anybody can see: those of which the log is still to
be written (synchronous_commit=off) as well."""
FIRST_PAGE, OTHER_PAGE = 40, 24
"""Bytes of the header of a segment's first page, and of all others."""
NO_IDENTITY = "the database does not tell which one it is (pg_control_system)"
NO_PRIMARY = "the primary's address leads to a server that takes no writes"
KEPT_S = 5
"""Seconds beyond the bound for which positions are kept."""


class Server(NamedTuple):
    """One run of one server."""

    cluster: int
    started: int
    """In microseconds, as the server itself has it."""


class Position(NamedTuple):
    """The end of the primary's log at a moment, or later than it."""

    moment: float
    """By time.monotonic."""
    end: int


@dataclass
class Primary:
    """The primary as the heartbeat sees it. Belongs to one event loop."""

    most_lag_s: float
    """Seconds that a replica may be behind."""
    server: Server | None = None
    """The run that was asked last; None until one was."""
    refusal: str | None = None
    """The reason that it tells no position."""

    def __post_init__(self) -> None:
        self._positions: list[Position] = []

    async def ask(self, session: Session, seconds: float) -> None:
        """Take in where the log ends now; raises as Session.fetch does where it cannot be asked."""
        moment = time.monotonic()
        try:
            [row] = await session.fetch(POSITION, (), deadline(seconds))
        except asyncpg.InsufficientPrivilegeError:
            self.refusal = NO_IDENTITY
            return
        if row["position"] is None:
            self.refusal = NO_PRIMARY
            return
        self.refusal = None
        end = end_of_records(row["position"], row["page"], row["segment"])
        self.take_in(Server(row["cluster"], row["started"]), Position(moment, end))

    def take_in(self, server: Server, newest: Position) -> None:
        """Take in a position; those before it count no more where they can be of another log.

        A server that was promoted, or has lost the end of its log in a crash, goes on from an
        earlier position. What was before that it has as well.
        """
        if self.server is not None and self.server.cluster != server.cluster:
            self._positions.clear()
        self.server = server
        oldest = newest.moment - self.most_lag_s - KEPT_S
        self._positions = [
            one for one in self._positions if one.moment >= oldest and one.end <= newest.end
        ]
        self._positions.append(newest)

    def had_all_until(self, replayed: int) -> float | None:
        """The moment before which all commits are replayed up to there; None if none is proven."""
        found = bisect_right(self._positions, replayed, key=lambda one: one.end)
        return self._positions[found - 1].moment if found else None

    @property
    def newest(self) -> Position | None:
        """The position that was taken in last; None before the first."""
        return self._positions[-1] if self._positions else None


def end_of_records(position: int, page: int, segment: int) -> int:
    """The end of the last record before an insert position.

    Where a record ends with its page, the next one is inserted behind the next page's header,
    while replaying ends at the page's end; so it stays while an idle server has switched to a new
    segment.
    """
    header = FIRST_PAGE if position // page * page % segment == 0 else OTHER_PAGE
    return position - header if position % page == header else position
