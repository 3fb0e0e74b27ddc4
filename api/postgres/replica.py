"""Connections to replicas of the primary, each of which proves what it has before it is read.

The proof is of the server that the connection leads to, so that one name may stand for several
replicas, and each may come, fall behind, go or be promoted by itself.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from random import shuffle
from typing import Any

import asyncpg

from api.errors import ReplicaRefused
from api.postgres.connect import Elsewhere, PooledSession
from api.postgres.pool import Pool
from api.postgres.positions import NO_IDENTITY, SERVER, Primary, Server
from api.postgres.session import (
    CONNECTION_LOST,
    Overdue,
    Rows,
    Session,
    deadline,
    store_unavailable,
)
from api.settings import ApiSettings
from streamflow.errors import StoreUnavailable

PROOF = """
    SELECT CASE WHEN pg_is_in_recovery()
                THEN (pg_last_wal_replay_lsn() - '0/0')::int8 END AS replayed"""
WHO = f"SELECT {SERVER}"
PROVED_FOR_S = 0.25
"""Seconds for which a connection that has proved something is not asked again; they are lag."""
MOST_TRIES = 4
"""Connections opened for one read until a replica is found that may be read: behind one name there
may be several. So often a read begins anew, too, when its connection's proof has ended."""
REFUSED_FOR_S = 0.2
"""Seconds for which it is not tried again to connect after all replicas were refused."""
NO_PROOF = "it is not known yet how far the replica is behind"
NO_REPLICA = "the replica takes writes, and is another server than the primary"
OTHER_CLUSTER = "the replica is not one of this database"
OTHER_HISTORY = "the replica has what the primary never had"
RELAYED = "the replica's address leads to another server with each query"
"""Says of a pooler what makes it no address of a replica."""
RECENT_S = 15
"""Seconds after which a server that was not asked again counts no more; probes ask every five."""

Connect = Callable[[Elsewhere], Awaitable[Session]]


class ProvenRows(list[asyncpg.Record]):
    """Rows of a replica that has all that was committed before the moment `seen`."""

    def __init__(self, rows: Sequence[asyncpg.Record], seen: float) -> None:
        super().__init__(rows)
        self.seen = seen
        """By time.monotonic."""


class Unproven(Exception):
    """The connection's server cannot be read any more; it is closed."""

    def __init__(self, refusal: ReplicaRefused) -> None:
        self.refusal = refusal
        super().__init__(str(refusal))


@dataclass
class Known:
    """A server that a connection to a replica led to, as it was when it was asked."""

    asked: float
    """When it was asked last, by time.monotonic, as all that follow."""
    seen: float | None = None
    """The moment before which it has all commits."""
    claimed: tuple[float, int] | None = None
    """When it had replayed how much; kept until the primary is known to have had that, too."""


class Replicas:
    """Opens connections to replicas, and knows how far behind those are that were asked lately.

    Belongs to one event loop.
    """

    def __init__(
        self, hosts: Sequence[str], port: int, primary: Primary, connect: Connect, ask_s: float
    ) -> None:
        """
        Args:
            hosts: names of one or several replicas each.
            port: of all of them.
            primary: says what a replica has to have.
            connect: opens a connection to a host and port.
            ask_s: seconds that a new connection's server may take to prove what it has.
        """
        self._hosts, self._port, self.primary = hosts, port, primary
        self._connect, self._ask_s = connect, ask_s
        self._refusal: tuple[float, StoreUnavailable] | None = None
        self._known: dict[Server, Known] = {}

    async def open(self) -> Session:
        """A connection to a replica that may be read.

        Raises:
            ConfigurationError: a PG* variable is wrong.
            ReplicaRefused: those that answer may not be read; says why of the last one.
            StoreUnavailable: none answers.
        """
        if self._refusal is not None and time.monotonic() - self._refusal[0] < REFUSED_FOR_S:
            raise self._refusal[1].with_traceback(None)  # else it grows with each request
        hosts = list(self._hosts)
        shuffle(hosts)
        hosts *= -(-MOST_TRIES // len(hosts))
        failed: StoreUnavailable | None = None
        for host in hosts[: max(MOST_TRIES, len(self._hosts))]:
            try:
                return await self._open_at(host)
            except StoreUnavailable as error:
                if failed is None or isinstance(error, ReplicaRefused):
                    failed = error
        assert failed is not None  # noqa: S101  # there is a host
        self._refusal = time.monotonic(), failed
        raise failed

    async def _open_at(self, host: str) -> Session:
        session = await self._connect((host, self._port))
        try:
            if isinstance(session, PooledSession):
                raise ReplicaRefused(RELAYED)
            [row] = await session.fetch(WHO, (), deadline(self._ask_s))
            server = Server(row["cluster"], row["started"])
            replica = ReplicaSession(session.connection, server, self)
            await replica.fetch(PROOF, (), deadline(self._ask_s))
        except asyncpg.InsufficientPrivilegeError as error:
            session.close()
            raise ReplicaRefused(NO_IDENTITY) from error
        except Unproven as error:
            raise error.refusal from None
        except (Overdue, asyncpg.PostgresError, *CONNECTION_LOST) as error:
            session.close()
            raise store_unavailable(error) from error
        except BaseException:
            session.close()
            raise
        return replica

    def judge(self, server: Server, replayed: int | None, asked: float) -> float:
        """The moment before which a server has all commits; infinity for the primary itself.

        Args:
            server: that was asked.
            replayed: how far it has replayed its primary's log; None if it takes writes.
            asked: when it was asked.

        Raises:
            ReplicaRefused: it may not be read.
        """
        primary = self.primary
        if primary.server is None:
            raise ReplicaRefused(primary.refusal or NO_PROOF)
        if server.cluster != primary.server.cluster:
            raise ReplicaRefused(OTHER_CLUSTER)
        if replayed is None and server != primary.server:
            raise ReplicaRefused(NO_REPLICA)
        known = self._known.setdefault(server, Known(asked))
        known.asked = asked
        known.seen = inf if replayed is None else primary.had_all_until(replayed)
        if replayed is not None:
            self._require_behind(known, replayed)
        if known.seen is None:
            raise ReplicaRefused(primary.refusal or NO_PROOF)
        self.require_recent(known.seen)
        return known.seen

    def _require_behind(self, known: Known, replayed: int) -> None:
        """Raise ReplicaRefused if a replica had replayed what the primary had not even later.

        Positions would prove nothing then: after a promotion it has not followed, it has another
        history. It is refused until the primary's log is longer than its own.
        """
        newest = self.primary.newest
        if known.claimed is not None and newest is not None:
            moment, had = known.claimed
            if newest.moment <= moment:
                return
            if newest.end < had:
                raise ReplicaRefused(OTHER_HISTORY)
        known.claimed = time.monotonic(), replayed

    @property
    def lag_s(self) -> float | None:
        """Seconds that the replicas asked lately may have been behind then, of several the most.

        None where none was asked, infinity where nothing is proven.
        """
        oldest = time.monotonic() - RECENT_S
        self._known = {server: one for server, one in self._known.items() if one.asked > oldest}
        lags = (inf if one.seen is None else one.asked - one.seen for one in self._known.values())
        found = max(lags, default=None)
        return None if found is None else max(found, 0.0)

    def require_recent(self, seen: float) -> None:
        """Raise ReplicaRefused if commits may be lacking that are older than the bound."""
        lag, most = time.monotonic() - seen, self.primary.most_lag_s
        if lag > most:
            reason = f"the replica may be more than {most:g} s behind the primary"
            raise ReplicaRefused(reason, f": {lag:.1f} s")


class ReplicaSession(Session):
    """A connection to a replica, whose rows say before which moment it has everything."""

    def __init__(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        server: Server,
        replicas: Replicas,
    ) -> None:
        super().__init__(connection)
        self._server, self._replicas = server, replicas
        self._proved_at = self._seen = -inf

    async def _fetched(self, query: str, arguments: Sequence[Any]) -> Rows:
        """The rows of `query`, which begins after the proof that the server has enough."""
        try:
            if time.monotonic() - self._proved_at > PROVED_FOR_S:
                await self._prove()
            self._replicas.require_recent(self._seen)
        except ReplicaRefused as error:
            self.close()
            raise Unproven(error) from error
        return ProvenRows(await super()._fetched(query, arguments), self._seen)

    async def _prove(self) -> None:
        asked = time.monotonic()
        [row] = await super()._fetched(PROOF, ())
        self._seen = self._replicas.judge(self._server, row["replayed"], asked)
        self._proved_at = asked


class ReplicaPool(Pool):
    """Connections to replicas, exchanged for others where their servers may not be read."""

    async def fetch(self, query: str, arguments: Sequence[Any], ends: float) -> Rows:
        """The rows of `query`, as Pool.fetch has them, of a replica that may be read.

        Raises:
            ReplicaRefused: there is none.
        """
        for _ in range(MOST_TRIES + self.limit):
            try:
                return await super().fetch(query, arguments, ends)
            except Unproven as error:
                refused = error.refusal
        raise refused


def replicas_of(
    settings: ApiSettings, opened: Callable[..., Awaitable[Session]]
) -> Replicas | None:
    """The replicas that features are read from; None where they are read from the primary."""
    if not settings.read_host:
        return None

    async def connect_to(where: Elsewhere) -> Session:
        return await opened(elsewhere=where)

    primary = Primary(settings.max_lag_s)
    return Replicas(
        settings.read_hosts, settings.read_port, primary, connect_to, settings.deadline_s
    )
