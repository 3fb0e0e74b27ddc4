"""`materialize --from lake` by Spark: the same values, ledger and intervals as in the database."""

from pathlib import Path

import pytest

from jobs.tests.acting import execute, streamflow
from jobs.tests.commands.test_once import lines
from jobs.tests.conftest import Place
from jobs.tests.lake.test_materialize_from_lake import STORIES, assert_same_bits, found
from jobs.tests.spark.conftest import ENGINE, at_executors, write_repository

pytestmark = pytest.mark.slow  # a session of Spark: a JVM, and Python for each task


@pytest.mark.parametrize("story", ["month by month", "an older month after a newer one"])
def test_values_and_ledger_are_those_of_the_database(
    spark: Path, place: Place, database_of: str, executors: dict[str, str], story: str
) -> None:
    told = []
    for origin in ("database", "lake"):
        with place(database_of):
            at_executors(executors)
            ended = [
                lines(streamflow("materialize", *words.split(), "--from", origin))[-1]
                for words in STORIES[story]
            ]
            told.append((found(), [(one["rows"], one["window"]) for one in ended]))
            assert {way for (way,) in execute("SELECT way FROM ops.materializations")} == {origin}
            assert ended[0].get("lake", {}).get("engine") == ("spark" if origin == "lake" else None)
            assert staging_tables() == []
    assert told[0][0].ledger == told[1][0].ledger
    assert told[0] == told[1]


def staging_tables() -> list[str]:
    """The names of the tables in schema `streamflow_staging`."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'streamflow_staging' ORDER BY 1"
    return [name for (name,) in execute(query)]


OTHER = """type: streamflow.feast.StreamflowSparkEngine
  spark_conf:
    spark.master: local[7]"""


@pytest.mark.parametrize("engine", [ENGINE, OTHER], ids=["database", "another Spark"])
def test_a_process_may_be_told_to_go_by_spark(
    loaded: Path,
    tmp_path: Path,
    executors: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    """As the chart does, whatever the definitions say of `batch_engine`."""
    write_repository(tmp_path / "repo", engine)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path / "repo"))
    at_executors(executors)
    words = ("materialize", "--from", "lake", "--view", "usage_agg_30d_fv")
    monkeypatch.setenv("STREAMFLOW_SPARK_CONNECTIONS", "2")
    (line,) = lines(streamflow(*words))
    assert (line["lake"]["engine"], line["rows"]["written"]) == ("spark", 50)


def test_every_value_is_the_same_in_its_bits(
    spark: Path, place: Place, database_of: str, executors: dict[str, str]
) -> None:
    assert_same_bits(place, database_of, lambda: at_executors(executors))
