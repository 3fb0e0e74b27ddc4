"""Advisory locks that are held while a command runs, longer than a transaction.

Where a connection is a session of the server, the lock belongs to the connection that does the
work. A pooler gives a session for one transaction only: there a connection of its own keeps all
locks of a command, to the server itself where its address is known (STREAMFLOW_DIRECT_HOST), else
by a transaction that stays open. In any case a lock goes with a killed process.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import psycopg
from psycopg.pq import TransactionStatus

from streamflow import settings
from streamflow.postgres import options as connection_options

POLL_S = 0.5
"""Between two attempts to get a lock by a transaction: one that waited inside PostgreSQL would
take one of the few connections that the pooler has for everybody, the lock's holder included."""
Key = tuple[int, ...]
Got = Literal["free", "waited", "busy"]


class Keeper:
    """Locks of a session, kept by `connection`."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def take(self, *key: int, wait: bool = True) -> Got:
        """Takes a lock; gives whether it was free, came after a wait, or is another's."""
        if self._try("pg_try_advisory_lock", key):
            return "free"
        if not wait:
            return "busy"
        self._call("pg_advisory_lock", key)
        return "waited"

    def release(self, *key: int) -> None:
        """Gives a lock back, also after a failed statement."""
        if self.connection.closed or self.connection.broken:
            return
        if self.connection.info.transaction_status == TransactionStatus.INERROR:
            self.connection.rollback()
        self._call("pg_advisory_unlock", key)

    def confirm(self) -> None:
        """Raises psycopg.OperationalError where the locks were lost."""

    def _try(self, function: str, key: Key) -> bool:
        return self._call(function, key) == (True,)

    def _call(self, function: str, key: Key) -> tuple[object, ...] | None:
        marks = ", ".join(["%s::bigint"] if len(key) == 1 else ["%s::integer"] * len(key))
        return self.connection.execute(f"SELECT {function}({marks})", key).fetchone()


class SeparateKeeper(Keeper):
    """Locks of a session of their own, which may be lost while the work goes on."""

    def confirm(self) -> None:
        """Asks the server once more."""
        self.connection.execute("SELECT")


class TransactionKeeper(SeparateKeeper):
    """Locks of a transaction, which stays open while there are any and writes nothing."""

    def __init__(self, connection: psycopg.Connection) -> None:
        super().__init__(connection)
        self._held: list[Key] = []

    def take(self, *key: int, wait: bool = True) -> Got:
        """Takes a lock as a session does, but asks again and again where it has to wait."""
        got: Got = "free"
        while True:
            if not self._held:
                self.connection.execute("BEGIN")
                self.connection.execute(STAYS)
            if self._try("pg_try_advisory_xact_lock", key):
                self._held.append(key)
                return got
            if not self._held:
                self.connection.execute("ROLLBACK")
            if not wait:
                return "busy"
            got = "waited"
            time.sleep(POLL_S)

    def release(self, *key: int) -> None:
        """Gives a lock back with the last one of the transaction."""
        if key in self._held:
            self._held.remove(key)
        if not self._held and not self.connection.closed and not self.connection.broken:
            self.connection.execute("ROLLBACK")


STAYS = """
    SELECT set_config(name, '0', true) FROM pg_settings
    WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"""
"""Whatever limits the server has for transactions of others."""

_outermost: ContextVar[Keeper | None] = ContextVar("keeper", default=None)


@contextmanager
def keeping(connection: psycopg.Connection) -> Iterator[Keeper]:
    """The keeper of locks for the work on `connection`; those inside another block share it.

    So a command needs one connection more at a pooler, however many locks it holds.

    Raises:
        psycopg.OperationalError: the server does not answer under the direct address.
    """
    if not connection_options.is_pooled():
        yield Keeper(connection)
        return
    outer = _outermost.get()
    if outer is not None:
        yield outer
        return
    with psycopg.connect(
        **connection_options.address(settings.postgres(), direct=True),
        **connection_options.for_psycopg(direct=True),
        autocommit=True,
    ) as own:
        is_session = connection_options.has_sessions()
        keeper = SeparateKeeper(own) if is_session else TransactionKeeper(own)
        token = _outermost.set(keeper)
        try:
            yield keeper
        finally:
            _outermost.reset(token)
