"""The options of every connection to PostgreSQL, by whatever driver it is made.

A server that vanishes without a word (its node lost power, a firewall forgot the connection) is
noticed by the kernel alone, and by default after a quarter of an hour or never. Each connection
has keepalives and a limit for what is sent and not acknowledged, so that no wait for a server
that is gone is longer than GONE_S. A server that is there and slow is waited for.

No driver is imported here: the API has another one than the jobs.
"""

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from streamflow import settings
from streamflow.errors import ConfigurationError

IDLE_S = 10
"""Seconds without a word from the server until it is asked whether it is there."""
INTERVAL_S = 5
"""Seconds between two such questions."""
QUESTIONS = 3
"""The number of them that go unanswered before the connection is given up."""
GONE_S = IDLE_S + INTERVAL_S * QUESTIONS
"""Seconds until a wait for a vanished server is an error: for an answer by the questions, for
what was sent by the kernel's limit, which on Linux would otherwise cut the questions short."""

Setting = tuple[str, str]
UTC: Setting = ("TimeZone", "UTC")
CHECKED: Setting = ("client_connection_check_interval", "5s")
"""A killed process's statement ends soon, also one that waits for a lock."""


def keepalives() -> dict[str, int]:
    """The settings by which a silent server is given up, in libpq's words."""
    return {
        "keepalives": 1,
        "keepalives_idle": IDLE_S,
        "keepalives_interval": INTERVAL_S,
        "keepalives_count": QUESTIONS,
        "tcp_user_timeout": GONE_S * 1000,
    }


def socket_options() -> list[tuple[int, int, int]]:
    """The same as arguments of setsockopt, for a driver without words for them; Linux has all."""
    names = {
        "TCP_KEEPIDLE": IDLE_S,
        "TCP_KEEPINTVL": INTERVAL_S,
        "TCP_KEEPCNT": QUESTIONS,
        "TCP_USER_TIMEOUT": GONE_S * 1000,
    }
    found = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    found += [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in names.items()
        if hasattr(socket, name)
    ]
    return found


def is_pooled(direct: bool = False) -> bool:
    """True where a connection goes through a pooler that gives it a server for one transaction.

    Nothing of a session lasts on it: no SET, no prepared statement, no temporary table, no LISTEN
    and no advisory lock beyond the transaction.

    Args:
        direct: the connection goes to the address beside the pooler, where one is given.
    """
    return settings.streamflow().pooler == "transaction" and not beside(direct)


def beside(direct: bool) -> dict[str, Any]:
    """Host and port of the server itself, where it is asked for and there is an address of it."""
    own = settings.streamflow()
    return {"host": own.direct_host, "port": own.direct_port} if direct and own.direct_host else {}


def has_sessions() -> bool:
    """True where there is an address at which a connection is a session of the server."""
    return not is_pooled(direct=True)


def address(where: settings.PostgresSettings, direct: bool = False) -> dict[str, Any]:
    """Host, port, user, password and database in libpq's words.

    Args:
        where: what the PG* variables say.
        direct: of the server itself, where STREAMFLOW_DIRECT_HOST says where that is.
    """
    return {
        "host": where.host,
        "port": where.port,
        **beside(direct),
        "user": where.user,
        "password": where.password or None,  # else libpq does not look into PGPASSFILE
        "dbname": where.database,
        "sslmode": where.sslmode,
    }


def for_psycopg(*session: Setting, direct: bool = False) -> dict[str, Any]:
    """The arguments of psycopg.connect besides the address.

    Args:
        session: settings of the session. Through a pooler they cannot be sent, and each
            transaction has to begin with `set_local` of those that matter.
        direct: as for `address`.

    Raises:
        ConfigurationError: PGOPTIONS is set, which a pooler refuses.
    """
    found = {**keepalives(), "connect_timeout": settings.streamflow().connect_timeout_s}
    if is_pooled(direct):
        require_no_options()
        return {**found, "prepare_threshold": None}
    return {**found, "options": startup(session)}


def startup(session: Iterable[Setting]) -> str:
    """PGOPTIONS and settings of a session as the startup parameter `options`."""
    own = (f"-c {name}={escaped(value)}" for name, value in session)
    return " ".join(filter(None, [os.environ.get("PGOPTIONS", ""), *own]))


def escaped(value: str) -> str:
    """A value inside `options`, where a blank would end it."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def set_local(session: Iterable[Setting]) -> str:
    """Statements that make settings for the rest of the transaction."""
    return "; ".join(f"SET LOCAL {name} = {literal(value)}" for name, value in session)


def choose(settings: Iterable[Setting]) -> str:
    """A query that makes settings for the rest of the transaction, also of lists of names.

    SET takes the whole text of a search_path for one name.
    """
    chosen = (f"set_config({literal(name)}, {literal(value)}, true)" for name, value in settings)
    return f"SELECT {', '.join(chosen)}"


def set_session(session: Iterable[Setting]) -> str:
    """Statements that make settings for the rest of the session."""
    return "; ".join(f"SET {name} = {literal(value)}" for name, value in session)


def literal(value: str) -> str:
    """A value as SQL has it."""
    return "'" + value.replace("'", "''") + "'"


def require_no_options(environment: Mapping[str, str] = os.environ) -> None:
    """Returns when nothing asks for settings of sessions that there are not.

    Raises:
        ConfigurationError: PGOPTIONS is set.
    """
    if environment.get("PGOPTIONS"):
        raise ConfigurationError(
            "PGOPTIONS cannot be used with STREAMFLOW_POOLER=transaction, which has no sessions;"
            " give its settings to the role: ALTER ROLE … SET …"
        )


OF_POOLERS = ("unsupported startup parameter", 'prepared statement "')
"""The beginnings of errors that come only from a pooler in place of PostgreSQL itself."""


def is_of_a_pooler(message: str) -> bool:
    """True where an error says that PGHOST is a pooler, which the settings do not."""
    return not is_pooled() and any(one in message for one in OF_POOLERS)


NAME_THE_POOLER = "PGHOST is a pooler: set STREAMFLOW_POOLER=transaction"
