"""Runs an executor of Spark in its pod: `python -m streamflow.spark.executor`.

Spark's driver says by variables of the container what it is to be, and leaves it to the image to
start Java with it, which this process becomes.
"""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
OPTION = "SPARK_JAVA_OPT_"
"""Begins the variables that have an option of Java each, and ends in the option's number."""
ARGUMENTS = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}
HEAP = "SPARK_EXECUTOR_MEMORY"


def command(environment: Mapping[str, str]) -> list[str]:
    """The command line of an executor.

    Raises:
        KeyError: a variable is missing, since it was not Spark's driver that made the container.
    """
    numbers = sorted(int(name[len(OPTION) :]) for name in environment if name.startswith(OPTION))
    words = ["java", *(environment[f"{OPTION}{number}"] for number in numbers)]
    words += [f"-Xms{environment[HEAP]}", f"-Xmx{environment[HEAP]}", "-cp", f"{jars()}/*", BACKEND]
    for option, variable in ARGUMENTS.items():
        words += [option, environment[variable]]
    return words


def jars() -> Path:
    """The folder of Spark's jars."""
    found = find_spec("pyspark")
    assert found is not None  # noqa: S101  # this package's own import has looked
    assert found.origin is not None  # noqa: S101  # a package that has files
    return Path(found.origin).parent / "jars"


def main() -> None:
    """Becomes the executor; exit code 2 where this is no container of one."""
    try:
        words = command(os.environ)
    except KeyError as error:
        sys.stderr.write(
            f"error: not set: {error.args[0]}; only Spark's driver starts an executor\n"
        )
        sys.exit(2)
    os.execvp(words[0], words)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
