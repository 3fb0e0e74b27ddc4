"""The database's password goes nowhere with Spark, whose event log is read; nor does a zone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.tests.conftest import Place
from jobs.tests.lake.test_materialize_from_lake import FROM_DATABASE, FROM_LAKE, found, rows
from jobs.tests.spark.conftest import SPARK_ENGINE, require_java, write_repository

ONE_VIEW = ("--view", "usage_agg_30d_fv")
PASSWORD = "p4ss-w0rd-of-nobody"
PICKLED = """
import os, sys
from pyspark import cloudpickle
folder, *sys.argv[1:] = sys.argv[1:]
dumps, count = cloudpickle.dumps, iter(range(10**6))
def kept(*given, **named):
    found = dumps(*given, **named)
    with open(os.path.join(folder, f"{next(count)}.pickle"), "wb") as file:
        file.write(found)
    return found
cloudpickle.dumps = kept
from jobs.__main__ import main
main()
"""
"""A command of which each function that goes to an executor is written to a file, too."""


@pytest.mark.slow  # a process with a session of Spark's own
def test_no_password_goes_to_plan_log_conf_or_closure_and_a_zone_changes_nothing(
    loaded: Path, place: Place, database_of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_java()
    events, pickles = tmp_path / "events", tmp_path / "pickles"
    events.mkdir()
    pickles.mkdir()
    logged = f"""
    spark.eventLog.enabled: true
    spark.eventLog.compress: false
    spark.eventLog.dir: file://{events}
    spark.driver.memory: 512m"""
    write_repository(tmp_path / "spark_repo", SPARK_ENGINE + logged)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    left = []
    with place(database_of):
        rows(*FROM_DATABASE, *ONE_VIEW)
        left.append(found())
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path / "spark_repo"))
    with place(database_of):
        command = [sys.executable, "-c", PICKLED, str(pickles), *FROM_LAKE, *ONE_VIEW]
        secret = {**os.environ, "PGPASSWORD": PASSWORD, "SPARK_LOCAL_IP": "127.0.0.1"}
        ended = subprocess.run(
            command, env=secret, check=False, timeout=200, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        left.append(found())
    assert left[0] == left[1]
    log = b"".join(one.read_bytes() for one in events.rglob("*") if one.is_file())
    assert b"SparkListenerSQLExecutionStart" in log
    assert b"MapInArrow" in log
    functions = b"".join(one.read_bytes() for one in pickles.iterdir())
    assert b"staging" in functions
    for text in (log, functions, ended.stdout.encode(), ended.stderr.encode()):
        assert PASSWORD.encode() not in text
