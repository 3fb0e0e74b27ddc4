"""Spark on this machine, and a feature repository that names it, beside the lake of two months."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.tests.lake.conftest import database_of, lake, loaded, two_months
from streamflow.settings import FEATURE_REPO

MASTER = "local[2,4]"
"""Two tasks at once, each of which may fail three times."""
ENGINE = "type: streamflow.feast.StreamflowEngine"
SPARK_ENGINE = f"""type: streamflow.feast.StreamflowSparkEngine
  connections: 3
  spark_conf:
    spark.master: {MASTER}"""
__all__ = ["database_of", "lake", "loaded", "two_months"]


def require_java() -> None:
    """Skips the test where there is no Java, or fails where STREAMFLOW_REQUIRE_SPARK is set."""
    if shutil.which("java") or "JAVA_HOME" in os.environ:
        return
    reason = "java is not installed (Debian's package openjdk-17-jre-headless has it)"
    if os.environ.get("STREAMFLOW_REQUIRE_SPARK"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def executors(server: dict[str, str]) -> Iterator["dict[str, str]"]:
    """Spark with two executors' threads on this machine; gives the environment of its workers."""
    require_java()
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.items():
            patch.setenv(name, value)
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        builder = SparkSession.builder.master(MASTER).config("spark.ui.enabled", "false")
        builder = builder.config("spark.ui.showConsoleProgress", "false")
        session = builder.config("spark.driver.memory", "512m").getOrCreate()
    yield session.sparkContext.environment
    session.stop()


def write_repository(folder: Path, engine: str = SPARK_ENGINE) -> None:
    """Writes the feature repository with another batch engine."""
    shutil.copytree(FEATURE_REPO, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "feature_store.yaml"
    text = file.read_text()
    assert ENGINE in text
    file.write_text(text.replace(ENGINE, engine))


@pytest.fixture
def spark(
    executors: dict[str, str], loaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The lake beside a database that has its months, where `--from lake` is by Spark."""
    write_repository(tmp_path / "spark_repo")
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path / "spark_repo"))
    at_executors(executors)
    return loaded


def at_executors(environment: dict[str, str]) -> None:
    """Gives the workers of executors the database that PG* names now."""
    environment["PGDATABASE"] = os.environ["PGDATABASE"]
