"""The value served is bit for bit the value trained on, for every user and feature."""

import struct
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded
from jobs.training.build import build
from streamflow.feast.online.client import read
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


def bits(value: Any) -> Any:
    """A float as its 64 bits, so that equal means equal; anything else as it is."""
    return struct.pack(">d", value) if isinstance(value, float) else value


def trained(path: Path) -> dict[str, list[Any]]:
    """By user: the features of a training set in column order."""
    table = pq.read_table(path)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return {row[0]: [bits(value) for value in row[2:-1]] for row in rows}


def served(users: list[str]) -> dict[str, list[Any]]:
    """By user: the online features in the service's order."""
    with open_store() as store:
        contract = contract_of(store, "churn_v1")
        vectors = read(store, contract, users)
    return {one.user_id: [bits(value) for value in one.values.values()] for one in vectors}


def training_set(as_of: date, out: Path) -> bytes:
    """Builds a training set; gives its bytes."""
    with recorded("training-set") as run:
        build(run, as_of, "churn_v1", str(out))
    return out.read_bytes()


def online(*window: datetime) -> None:
    """Materializes a window."""
    with recorded("materialize", views=[]) as run:
        materialize(run, *window)


def test_online_equals_training_for_every_user_in_both_months(
    database: str, full_months: Path, tmp_path: Path
) -> None:
    with recorded("ingest") as run:
        ingest(run, full_months / "month_000", JANUARY)
    january = training_set(JANUARY, tmp_path / "january.parquet")
    with recorded("ingest") as run:
        ingest(run, full_months / "month_001", FEBRUARY)

    online(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
    expected = trained(tmp_path / "january.parquet")
    assert len(expected) == 7_043
    assert served(list(expected)) == expected
    assert any(None in features for features in expected.values())

    online(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    training_set(FEBRUARY, tmp_path / "february.parquet")
    february = trained(tmp_path / "february.parquet")
    assert february != expected
    assert served(list(february)) == february
    assert training_set(JANUARY, tmp_path / "again.parquet") == january
