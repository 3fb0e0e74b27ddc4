"""A database with January, and months that are like it but for what a test plants."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobs.tests.acting import done, streamflow
from jobs.tests.conftest import Place, sampled

JANUARY, FEBRUARY = "2024-01-31", "2024-02-29"
Edit = Callable[[pd.DataFrame], pd.DataFrame | None]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of January."""
    return sampled(tmp_path_factory, users=3_000, months=1) / "month_000"


@pytest.fixture(scope="module")
def only_january(place: Place, template: str, month: Path) -> Iterator[str]:
    """A database to be copied."""
    with place(template) as name:
        assert load(month, JANUARY)["drift"] == []
        yield name


@pytest.fixture
def january(place: Place, only_january: str) -> Iterator[str]:
    """A database with January."""
    with place(only_january) as name:
        yield name


@pytest.fixture
def planted(month: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a month like January, with files edited."""

    def made(**edits: Edit) -> Path:
        folder = tmp_path / "planted"
        folder.mkdir()
        for file in sorted(month.glob("*.csv")):
            frame = pd.read_csv(file, dtype=str, keep_default_na=False)
            edit = edits.get(file.stem) or edits.get("every")
            if edit is not None:
                edited = edit(frame)
                frame = frame if edited is None else edited
            frame.to_csv(folder / file.name, index=False)
        return folder

    return made


def load(folder: Path, day: str, *more: str) -> dict[str, Any]:
    """Loads a month; gives its JSON line."""
    return json.loads(
        done(streamflow("ingest", str(folder), "--as-of", day, *more)).stdout.splitlines()[-1]
    )
