"""A lake of two months beside a database that has them, too."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.tests.acting import done, streamflow
from jobs.tests.commands.test_once import lines
from jobs.tests.conftest import Place

DAYS = ["2024-01-31", "2024-02-29", "2024-03-31"]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the lake, which is not there yet."""
    folder = tmp_path / "a lake é" / "of ' months"
    monkeypatch.setenv("STREAMFLOW_LAKE_URL", str(folder))
    return folder


@pytest.fixture(scope="module")
def two_months(place: Place, template: str, small_months: Path) -> Iterator[str]:
    """A database with two months, to be copied; there was no lake yet."""
    with place(template) as name:
        for number, day in enumerate(DAYS[:2]):
            done(streamflow("ingest", str(small_months / f"month_00{number}"), "--as-of", day))
        yield name


@pytest.fixture
def loaded(place: Place, two_months: str, lake: Path) -> Iterator[Path]:
    """A database with two months, which are in the lake as well; gives its folder."""
    with place(two_months):
        assert lines(streamflow("snapshot", "export"))[-1]["rows"]["written"] == 500
        yield lake


@pytest.fixture
def database_of(loaded: Path) -> str:
    """The name of the database that is like the lake, to be copied."""
    return os.environ["PGDATABASE"]
