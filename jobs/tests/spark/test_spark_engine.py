"""StreamflowSparkEngine by Feast's SDK: views of the lake by Spark, all others as before."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.tests.acting import execute
from jobs.tests.conftest import Place
from jobs.tests.lake.test_materialize_from_lake import found
from jobs.tests.spark.conftest import at_executors
from streamflow.errors import ConfigurationError
from streamflow.feast.registry.open import open_store
from streamflow.settings import FEATURE_REPO
from streamflow.spark import staging

pytestmark = pytest.mark.slow  # a session of Spark: a JVM, and Python for each task

WINDOW = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))


def ways() -> dict[str, str]:
    """The way that each view took."""
    return dict(execute("SELECT view, way FROM ops.materializations"))


def test_feasts_materialize_gives_what_the_database_gives(
    spark: Path,
    place: Place,
    database_of: str,
    executors: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = []
    for repo in (FEATURE_REPO, spark.parent.parent / "spark_repo"):
        monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
        with place(database_of):
            at_executors(executors)
            with open_store() as store:
                store.materialize(*WINDOW)
            told.append(found())
            expected = "database" if repo == FEATURE_REPO else "lake"
            assert set(ways().values()) == {expected}
    assert told[0] == told[1]
    assert [one[4:6] for one in told[0].ledger] == [(100, 50)] * 4


def test_a_view_that_the_lake_has_not_goes_inside_the_database(spark: Path) -> None:
    with open_store() as store:
        view = store.get_feature_view("usage_agg_30d_fv")
        query = view.batch_source._postgres_options._query
        view.batch_source._postgres_options._query = f"{query} WHERE skips_7d >= 0"
        store.apply([view.batch_source, view])
        store.materialize(*WINDOW)
    found_ways = ways()
    assert found_ways.pop("usage_agg_30d_fv") == "database"
    assert set(found_ways.values()) == {"lake"}
    assert {tuple(one) for one in execute("SELECT rows_written FROM ops.materializations")} == {
        (50,)
    }


def test_executors_of_another_database_are_refused(
    spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store() as store:
        store.config.online_store.database = "another"
        engine = store._get_provider().batch_engine
        with pytest.raises(ConfigurationError, match="online_store names another, and the PG"):
            engine.materialize(store.registry, [])


def test_as_many_tasks_write_as_there_may_be_connections(
    spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: set[int] = set()
    real = staging.Staging.verify

    def kept(self: staging.Staging, *given: object) -> None:
        real(self, *given)
        parts.update(given[-1])

    monkeypatch.setattr(staging.Staging, "verify", kept)
    with open_store() as store:
        store.materialize(*WINDOW)
    assert parts == {0, 1, 2}
