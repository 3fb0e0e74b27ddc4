"""The tasks of a worker: all that needs Feast, on the database that PGDATABASE names."""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import data, postgres
from benchmarks.figures import OURS, STOCK
from benchmarks.sides import floor, repos

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
MB = 2**20


def apply(side: str, repo: str) -> None:
    """Applies a repository as `streamflow apply` and `feast apply` do."""
    if side == OURS:
        from jobs.apply.apply import apply as applied

        os.environ["STREAMFLOW_FEATURE_REPO"] = repo
        applied()
        return
    from feast.repo_config import load_repo_config
    from feast.repo_operations import apply_total

    with postgres.connect() as connection:
        for schema in repos.STOCK_SCHEMAS:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    path = Path(repo)
    sys.modules.pop("definitions", None)
    sys.path.insert(0, repo)  # as the `feast` command does
    try:
        with contextlib.chdir(path):
            apply_total(load_repo_config(path, path / "feature_store.yaml"), path, False)
    finally:
        sys.path.remove(repo)


@contextlib.contextmanager
def opened(side: str, repo: str) -> Iterator[Any]:
    """The FeatureStore of a side."""
    from feast import FeatureStore

    from streamflow.feast.registry.open import open_store

    if side == OURS:
        os.environ["STREAMFLOW_FEATURE_REPO"] = repo
        with open_store() as store:
            yield store
    else:
        yield FeatureStore(repo_path=repo)


def materialize(side: str, repo: str, steps: list[str]) -> dict[str, dict[str, float]]:
    """Materializes once for each step and gives seconds, WAL and memory (MB) of each.

    A step `rewrite` first adds a month in which every value is another one, `corrected` changes
    one row in place, and `incremental` has a window that begins where the last one ended.
    """
    found, start = {}, BEGINNING
    with postgres.connect() as connection, opened(side, repo) as store:
        for step in steps:
            if step == "rewrite":
                data.add_month(connection)
            if step == "corrected":
                data.correct_row(connection)
            if step == "again":
                connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")
            begin, start = start if step == "incremental" else BEGINNING, datetime.now(UTC)
            with measured(connection) as figures:
                materialize_once(side, store, begin)
            figures["peak_mb"] = peak_mb()
            found[step] = figures
    return found


def materialize_once(side: str, store: Any, start: datetime) -> None:
    """Materializes all views up to now, as `streamflow materialize` and `feast materialize` do."""
    if side == OURS:
        from jobs.flows.work import materialize_features

        materialize_features(start, None, [])
    else:
        store.materialize(start, datetime.now(UTC))


@contextlib.contextmanager
def measured(connection: Any) -> Iterator[dict[str, float]]:
    """Seconds and megabytes of write-ahead log of the block."""
    figures: dict[str, float] = {}
    wal = postgres.wal_position(connection)
    began = time.perf_counter()
    yield figures
    figures["seconds"] = time.perf_counter() - began
    figures["wal_mb"] = (postgres.wal_position(connection) - wal) / MB


def peak_mb() -> float:
    """The most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def training_set(side: str, repo: str) -> dict[str, Any]:
    """Joins all labels with `churn_v1` into an Arrow table: seconds, rows and peak memory."""
    with opened(side, repo) as store:
        service = store.get_feature_service("churn_v1")
        began = time.perf_counter()
        job = store.get_historical_features(entity_df=floor.LABELS, features=service)
        rows = job.to_arrow().num_rows
        return {"seconds": time.perf_counter() - began, "rows": rows, "peak_mb": peak_mb()}


def bare_training_set(ttl: bool) -> dict[str, Any]:
    """Measures the same join as `training_set`, done by the floor's SQL."""
    with postgres.connect() as connection:
        began = time.perf_counter()
        rows = floor.training_set(connection, ttl).num_rows
        return {"seconds": time.perf_counter() - began, "rows": rows, "peak_mb": peak_mb()}


def online_read(
    ours: str, stock: str, by_list: bool, users: list[str], rounds: int, calls: int
) -> dict[str, list[float]]:
    """Reads `users` with both sides in turn: milliseconds of one call, by side and round."""
    found: dict[str, list[float]] = {OURS: [], STOCK: []}
    entities = [{"user_id": user} for user in users]
    with opened(OURS, ours) as own, opened(STOCK, stock) as theirs:
        stores = {OURS: own, STOCK: theirs}
        asked: dict[str, Any] = {
            side: floor.references() if by_list else one.get_feature_service("churn_v1")
            for side, one in stores.items()
        }
        for number in range(rounds + 1):
            for side, store in stores.items():
                began = time.perf_counter()
                for _ in range(calls):
                    store.get_online_features(asked[side], entities).to_dict()
                if number:  # the first round opens connections
                    found[side].append((time.perf_counter() - began) / calls * 1000)
    return found


TASKS: dict[str, Callable[..., Any]] = {
    "apply": apply,
    "materialize": materialize,
    "training_set": training_set,
    "bare_training_set": bare_training_set,
    "online_read": online_read,
}
"""By the name under which a worker is asked for it."""
