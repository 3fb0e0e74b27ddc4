"""Fixtures of all tests: a real PostgreSQL with a database per test, and months of data."""

import atexit
import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from drills.forks import Forks

ROOT = Path(__file__).parent
REAL_MONTHS = ROOT.parent / "shared" / "data"
"""Two real months, where they are beside the checkout; elsewhere tests use generated ones."""

MEMORY = Path("/dev/shm")
"""Memory as a folder, where the system has it. Each test's database is 300 files, which disks of
cloud machines take half a second for."""
ROOM = 4 * 2**30
"""Bytes that have to be free there."""


def folder_of_server() -> Path:
    """Returns the folder in which the tests' PostgreSQL has its data."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        return MEMORY / f"streamflow-tests-{os.getuid()}-{zlib.crc32(bytes(ROOT)):08x}"
    return ROOT / ".streamflow" / "tests"


FOLDER = folder_of_server()


@atexit.register  # before the server's own handler is, so that it runs after that one
def _give_back_memory() -> None:
    """Removes the data of a server that nobody uses any more."""
    if FOLDER.is_relative_to(MEMORY) and not (FOLDER / "postgres" / "postmaster.pid").exists():
        shutil.rmtree(FOLDER, ignore_errors=True)


for variable in [name for name in os.environ if name.startswith(("PG", "PREFECT_"))]:
    del os.environ[variable]


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """Takes back what a command did to the loggers: its handler writes to a stream that ends."""
    known = [logging.getLogger(name) for name in (None, "api", "explorer", "jobs", "streamflow")]
    before = [(one, one.handlers[:], one.level) for one in known]
    yield
    for one, handlers, level in before:
        one.handlers[:] = handlers
        one.setLevel(level)


@pytest.fixture(scope="session")
def server() -> dict[str, str]:
    """The PG* variables of a PostgreSQL that only the tests use, without fsync."""
    from streamflow.postgres import embedded

    variables = embedded.start(FOLDER / "postgres")
    with admin(variables) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test%'")
        for (name,) in found.fetchall():
            if not psutil.pid_exists(int(name.split("_")[1])):  # left by a run that was killed
                drop(connection, name)
    return variables


@pytest.fixture
def empty_database(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a database without any table; PG* points at it."""
    with database_of(server, "template0", monkeypatch) as name:
        yield name


@pytest.fixture(scope="session")
def template(server: dict[str, str]) -> Iterator[str]:
    """A database with schema and registry applied, to be copied in 25 ms."""
    from jobs.apply.apply import apply

    monkeypatch = pytest.MonkeyPatch()
    with database_of(server, "template0", monkeypatch) as name:
        apply()
        with psycopg.connect(autocommit=True) as connection:
            connection.execute("TRUNCATE ops.runs RESTART IDENTITY")
        monkeypatch.undo()
        yield name


@pytest.fixture
def database(
    server: dict[str, str], template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a database with schema and registry applied; PG* points at it."""
    with database_of(server, template, monkeypatch) as name:
        yield name


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Forks"]:
    """Starts commands as processes, at once and without their seconds of imports; kills them."""
    from drills.forks import forks

    with forks(tmp_path_factory.mktemp("output")) as found:
        yield found


@pytest.fixture(scope="session")
def small_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two generated months of 50 users: month_000 and month_001."""
    from jobs.sample.months import write_months

    out = tmp_path_factory.mktemp("small")
    write_months(out, users=50, months=2, seed=7)
    return out


@pytest.fixture(scope="session")
def full_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two months of 7,043 users: the real ones where they are, else generated."""
    from jobs.sample.months import write_months

    if REAL_MONTHS.is_dir():
        return REAL_MONTHS
    out = tmp_path_factory.mktemp("full")
    write_months(out, users=7_043, months=2, seed=7)
    return out


def admin(variables: dict[str, str]) -> psycopg.Connection:
    """A connection that may create and drop databases."""
    return psycopg.connect(
        host=variables["PGHOST"],
        port=variables["PGPORT"],
        user=variables["PGUSER"],
        dbname="postgres",
        autocommit=True,
    )


def drop(connection: psycopg.Connection, name: str) -> None:
    """Drops the database `name` whoever is connected."""
    connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )


@pytest.fixture
def disconnect(server: dict[str, str], copy: str) -> Callable[[bool], None]:
    """Ends all connections to `copy`, the database that a package's tests may spoil.

    Lets new ones in or not.
    """

    def act(allow: bool) -> None:
        with admin(server) as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
                    sql.Identifier(copy), sql.Literal(allow)
                )
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [copy]
            )

    return act


class database_of:  # noqa: N801  # reads as the context manager it is
    """A new database copied from `template`, with PG* set to it; dropped at the end."""

    def __init__(
        self, server: dict[str, str], template: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.server, self.template, self.monkeypatch = server, template, monkeypatch
        self.name = f"test_{os.getpid()}_{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> str:
        with admin(self.server) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(self.name), sql.Identifier(self.template)
                )
            )
        for variable, value in {**self.server, "PGDATABASE": self.name}.items():
            self.monkeypatch.setenv(variable, value)
        return self.name

    def __exit__(self, *_: object) -> None:
        with admin(self.server) as connection:
            drop(connection, self.name)
