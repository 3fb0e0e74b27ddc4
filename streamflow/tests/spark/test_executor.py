"""What an executor's pod runs, of the variables that Spark's driver gives it."""

import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from streamflow.spark.executor import command

GIVEN = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.244.1.7:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_EXECUTOR_MEMORY": "1024m",
    "SPARK_APPLICATION_ID": "spark-461dd99d",
    "SPARK_EXECUTOR_POD_IP": "10.244.2.9",
    "SPARK_EXECUTOR_POD_NAME": "streamflow-exec-3",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_JAVA_OPT_10": "-Dlast=1",
    "SPARK_JAVA_OPT_2": "-Dwith=a space and a $SIGN",
    "SPARK_JAVA_OPT_0": "-Dspark.driver.port=7078",
}


def test_java_is_started_as_the_driver_asks() -> None:
    words = command(GIVEN)
    assert words[:4] == [
        "java",
        "-Dspark.driver.port=7078",
        "-Dwith=a space and a $SIGN",
        "-Dlast=1",
    ]
    assert words[4:6] == ["-Xms1024m", "-Xmx1024m"]
    backend = words.index("org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend")
    after = words[backend + 1 :]
    assert dict(zip(after[::2], after[1::2], strict=True)) == {
        "--driver-url": GIVEN["SPARK_DRIVER_URL"],
        "--executor-id": "3",
        "--cores": "2",
        "--app-id": "spark-461dd99d",
        "--hostname": "10.244.2.9",
        "--resourceProfileId": "0",
        "--podName": "streamflow-exec-3",
    }


def test_the_jars_are_those_of_the_installed_spark() -> None:
    words = command(GIVEN)
    jars = words[words.index("-cp") + 1]
    assert jars == f"{Path(pyspark.__file__).parent}/jars/*"
    backend = "spark-kubernetes_"
    assert [one for one in Path(jars).parent.iterdir() if one.name.startswith(backend)]


@pytest.mark.parametrize("missing", ["SPARK_DRIVER_URL", "SPARK_EXECUTOR_MEMORY"])
def test_in_another_container_it_says_what_is_not_set(missing: str) -> None:
    environment = {**os.environ, **GIVEN}
    del environment[missing]
    done = subprocess.run(
        [sys.executable, "-m", "streamflow.spark.executor"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"error: not set: {missing}; only Spark's driver starts an executor\n"


def test_it_becomes_java(tmp_path: Path) -> None:
    """The process is replaced, so that Kubernetes' signals reach Java."""
    java = tmp_path / "java"
    java.write_text('#!/bin/sh\necho $$ "$1"\n')
    java.chmod(0o755)
    environment = {**os.environ, **GIVEN, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-m", "streamflow.spark.executor"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        said, _ = started.communicate(timeout=60)
    assert said == f"{started.pid} -Dspark.driver.port=7078\n"
