"""The PostgreSQL server of a run, and databases of its own on it, dropped at the end."""

import atexit
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import Connection, sql

from streamflow import settings
from streamflow.postgres import embedded

__all__ = ["Connection", "Databases", "connect", "databases", "environment", "machine"]

PACKAGES = ("feast", "psycopg", "asyncpg", "uvicorn", "uvloop", "pyarrow")
SETTINGS = (
    *("shared_buffers", "work_mem", "max_wal_size", "fsync", "synchronous_commit"),
    *("max_parallel_workers_per_gather", "jit"),
)
"""PostgreSQL settings that the report lists; the benchmark changes none of them."""


class Databases:
    """Databases whose names begin with this process's number."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def create(self, label: str, template: str = "template0") -> str:
        """A new database, copied from `template`; gives its name."""
        name = f"bench_{os.getpid()}_{label}"
        self.drop(name)
        with connect() as connection:
            connection.execute(  # Feast leaves connections open
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [template],
            )
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        self._made.append(name)
        return name

    def drop(self, name: str) -> None:
        """Drops a database, whoever is connected."""
        with connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def drop_all(self) -> None:
        """Drops all that were made."""
        for name in self._made:
            self.drop(name)

    def drop_abandoned(self) -> None:
        """Drops those of runs that were killed."""
        with connect() as connection:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE datname ~ '^bench_[0-9]+_'"
            ).fetchall()
        for (name,) in found:
            if not psutil.pid_exists(int(name.split("_")[1])):
                self.drop(name)


def connect(database: str | None = None) -> Connection:
    """A connection in autocommit mode; to the database of PGDATABASE where none is named."""
    return psycopg.connect(
        dbname=database or os.environ["PGDATABASE"], autocommit=True, application_name="benchmarks"
    )


@contextmanager
def databases(home: Path) -> Iterator[Databases]:
    """The databases of a run, on the server of PG* or an embedded one with its data in `home`.

    Sets this process's PG* variables, which the processes it starts inherit. The embedded
    server's data are removed at the end.
    """
    data = home / "postgres"
    if not settings.names_a_database(os.environ):
        atexit.register(shutil.rmtree, data, ignore_errors=True)  # runs after the server's end
        os.environ.update(embedded.start(data))
    where = settings.postgres()
    os.environ.update(PGHOST=where.host, PGPORT=str(where.port), PGUSER=where.user)
    os.environ.update(PGPASSWORD=where.password, PGDATABASE=where.database, PGSSLMODE=where.sslmode)
    found = Databases()
    found.drop_abandoned()
    try:
        yield found
    finally:
        found.drop_all()


def environment(database: str, **more: str) -> dict[str, str]:
    """The environment of a process that works on `database`."""
    return {**os.environ, "PGDATABASE": database, "TQDM_DISABLE": "1", **more}


def wal_position(connection: Connection) -> int:
    """Bytes of write-ahead log since the server was made."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(row[0]) if row else 0


def machine() -> dict[str, Any]:
    """Describes the machine, its PostgreSQL and the packages that the figures were measured on."""
    with connect() as connection:
        said: dict[str, str] = dict(
            connection.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)",
                [list(SETTINGS)],
            ).fetchall()
        )
        row = connection.execute("SHOW server_version").fetchone()
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": row[0] if row else "",
        "settings": {name: said[name] for name in SETTINGS if name in said},
        "packages": {name: version(name) for name in PACKAGES},
        "load": round(os.getloadavg()[0], 2),
    }


def processor() -> str:
    """The processor's name as Linux gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
