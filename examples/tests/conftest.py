"""The example shop as its README has it: a database that the application filled, applied."""

from pathlib import Path

import psycopg
import pytest

from jobs.apply.apply import apply
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded

SHOP = Path(__file__).parents[1] / "shop"


@pytest.fixture
def shop(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a database with the shop's tables, its features applied and online."""
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(SHOP))
    fill()
    apply()
    with recorded("materialize") as run:
        materialize(run)
    return empty_database


def fill() -> None:
    """Runs the application once."""
    with psycopg.connect() as connection:
        connection.execute((SHOP / "application.sql").read_bytes())
