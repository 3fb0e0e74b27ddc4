"""Commands and the API as processes of their own, databases, roles and months for them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from drills.forks import Forks
from jobs.roles.set_up import Names
from jobs.sample.months import write_months
from jobs.tests.acting import PASSWORDS, copy_repository, databases_of, roles_of_their_own

Place = Callable[[str], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def place(pytestconfig: pytest.Config, server: dict[str, str]) -> Place:
    """Makes a database like the named one, which PG* names as long as it is there."""

    @contextmanager
    def made(template: str) -> Iterator[str]:
        databases = databases_of(pytestconfig)
        with (
            pytest.MonkeyPatch.context() as patch,
            databases.database_of(server, template, patch) as name,
        ):
            yield name

    return made


@pytest.fixture
def names(
    pytestconfig: pytest.Config, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Names]:
    """Roles of this test, and passwords for them in the environment."""
    for name, value in PASSWORDS.items():
        monkeypatch.setenv(name, value)
    with roles_of_their_own(databases_of(pytestconfig), server) as found:
        yield found


@pytest.fixture(scope="session")
def months(small_months: Path) -> Path:
    """The months that commands load; a module may have larger ones."""
    return small_months


@pytest.fixture
def january(running: Forks, database: str, months: Path) -> str:
    """A database with January."""
    ended = running.run_one("ingest", str(months / "month_000"), "--as-of", "2024-01-31")
    assert ended.code == 0, ended.errors
    return database


@pytest.fixture
def drop_leftover_databases(database: str) -> Iterator[None]:
    """Drops, after a test, the databases that a restore left beside `database`."""
    yield
    query = "SELECT datname FROM pg_database WHERE datname LIKE %s"
    with psycopg.connect(dbname="postgres", autocommit=True) as admin:
        for (name,) in admin.execute(query, [f"{database}_%"]).fetchall():
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the feature repository that a test may edit."""
    folder = tmp_path / "repo"
    folder.mkdir()
    copy_repository(folder)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(folder))
    return folder


@pytest.fixture
def new_feature(tmp_path: Path) -> dict[str, str]:
    """The environment in which subs_profile_fv has one feature more."""
    copy_repository(tmp_path)
    text = (tmp_path / "definitions.py").read_text()
    more = '        Field(name="contract_type", dtype=String, description="Contract term."),\n'
    for before, after in (
        ("plan_stream_movies, net_service\n", "plan_stream_movies, net_service, contract_type\n"),
        (
            '        Field(\n            name="net_service"',
            f'{more}        Field(\n            name="net_service"',
        ),
    ):
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "definitions.py").write_text(text)
    return {"STREAMFLOW_FEATURE_REPO": str(tmp_path)}


def sampled(tmp_path_factory: pytest.TempPathFactory, users: int, months: int) -> Path:
    """A new folder with so many months of so many users."""
    out = tmp_path_factory.mktemp("months")
    write_months(out, users=users, months=months, seed=7)
    return out


@contextmanager
def serving() -> Iterator[str]:
    """The URL of the API, a process of its own on the database that PG* names."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "api", "--port", str(port)], env=os.environ)
    url, give_up = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while time.monotonic() < give_up:
            try:
                if httpx.get(f"{url}/readyz").is_success:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
