"""Fixtures of the benchmarks' tests: a run of the smallest size on the tests' PostgreSQL."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.context import Context, Options
from benchmarks.postgres import Databases
from benchmarks.sides import repos


@pytest.fixture
def databases(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Databases]:
    for name, value in {"PGPASSWORD": "", "PGSSLMODE": "disable"}.items():
        monkeypatch.setenv(name, value)  # as postgres.databases does
    made = Databases()
    yield made
    made.drop_all()


@pytest.fixture
def context(databases: Databases, tmp_path: Path) -> Iterator[Context]:
    options = Options(rounds=1, seconds=0.3, users=120, wide_users=20)
    repos.make(tmp_path / "repos")
    with ExitStack() as stack:
        yield Context(databases, tmp_path, options, stack)
