"""Spark's session: the settings of feature_store.yaml, also beside a session that is there already.

Times are compared and handed over in the session's zone, which is UTC: in another one, times
without a zone would mean other instants, and nothing would say so.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from streamflow import settings as environment
from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.visible_text import without_secrets

if TYPE_CHECKING:
    from streamflow.registry.stores import SparkSettings

log = logging.getLogger(__name__)

ZONE = "spark.sql.session.timeZone"
SPECULATION = "spark.speculation"
DEFAULTS = {
    "spark.app.name": "streamflow",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
"""Settings of a session of ours, unless feature_store.yaml says otherwise."""
TRACEBACK = "Traceback (most recent call last):"
IN_JAVA = re.compile(r"(?:Caused by)?: (?:\w+\.)*(.+)")
"""A line of Java's trace that tells an error, or what that was caused by; without its package."""

NO_EXECUTOR = (
    "Spark: no executor came in time; why is in its warnings above, where Kubernetes refused"
    " their pods or they ended at once, or in what kubectl describe pods --selector"
    " spark-role=executor says, where no node takes them"
)
GIVEN_UP = "Spark context stopped while waiting for backend"
"""Spark's own words when too many executors' pods could not be made, or ended at once."""


@contextmanager
def opened(settings: "SparkSettings") -> Iterator[SparkSession]:
    """Yields a session in UTC with the settings of feature_store.yaml.

    One that is there already lends its executors, and keeps its own settings; it goes on after the
    block. One that this block begins ends with it.

    Raises:
        ConfigurationError: a setting cannot be had.
        StreamflowError: Spark does not start, or work that it was given fails.
    """
    require_settings(settings.conf)
    # Else the executors look for `python3` on their path, which may be another one.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with explained():
        there = SparkContext._active_spark_context
        if there is not None:
            yield beside(there, settings.conf)
            return
        builder = SparkSession.builder.config(map={**DEFAULTS, **settings.conf, ZONE: "UTC"})
        give_up = time.monotonic() + environment.streamflow().spark_wait_s
        session = builder.getOrCreate()
        try:
            started = session.sparkContext.getConf()
            require_no_speculation(started.get(SPECULATION) or "")
            if session.sparkContext.master.startswith("k8s://"):
                wait_for_executor(session.sparkContext, give_up)
            yield session
        finally:
            with suppress(Py4JError):  # a Java that has ended cannot be stopped
                session.stop()


def wait_for_executor(context: SparkContext, give_up: float) -> None:
    """Returns when the first executor has come; Spark itself would wait for ever.

    Args:
        give_up: until when, as `time.monotonic` has it.

    Raises:
        StreamflowError: none has come by then, or Spark has given up.
    """
    wanted = context.getConf().get("spark.executor.instances")
    log.info("waiting for executors", extra={"wanted": wanted})
    try:
        while not (count := executors(context)):
            if time.monotonic() > give_up:
                raise StreamflowError(NO_EXECUTOR)
            time.sleep(0.2)
    except Py4JError:  # too many executors ended at once, and Spark itself with them
        raise StreamflowError(NO_EXECUTOR) from None
    log.info("executors are there", extra={"count": count, "wanted": wanted})


def executors(context: SparkContext) -> int:
    """The number of executors that there are, without the driver."""
    return int(context._jsc.sc().getExecutorMemoryStatus().size()) - 1


def require_settings(conf: Mapping[str, str]) -> None:
    """Returns when times, connections and the password are as they have to be.

    Raises:
        ConfigurationError: they do not.
    """
    if conf.get(ZONE, "UTC") != "UTC":
        raise ConfigurationError(
            f"batch_engine.spark_conf has {ZONE} {conf[ZONE]}: it has to be UTC, in which all times"
            " here are; leave it out"
        )
    require_no_speculation(conf.get(SPECULATION, ""))
    if named := [name for name in conf if "PGPASSWORD" in name.upper()]:
        raise ConfigurationError(
            f"batch_engine.spark_conf has {named[0]}: Spark shows settings in logs and on pages;"
            " give executors the variable PGPASSWORD where they run"
        )


def require_no_speculation(value: str) -> None:
    """Returns when no task has a second copy, which would be one more connection to PostgreSQL."""
    if value.lower() == "true":
        raise ConfigurationError(
            f"{SPECULATION} has to be off: each copy of a task is one more connection to PostgreSQL"
        )


def beside(there: SparkContext, conf: Mapping[str, str]) -> SparkSession:
    """A session with settings of its own on executors that are there.

    Raises:
        ConfigurationError: they were started with another setting, which cannot change.
    """
    started = there.getConf()
    require_no_speculation(started.get(SPECULATION) or "")
    session = SparkSession(there).newSession()
    for name, value in conf.items():
        if session.conf.isModifiable(name):
            session.conf.set(name, value)
        elif (has := started.get(name)) != value:
            raise ConfigurationError(
                f"batch_engine.spark_conf has {name} {value}, and a Spark session is there already"
                f" whose is {has or 'not set'}: stop it first, or leave the setting out"
            )
    session.conf.set(ZONE, "UTC")
    return session


@contextmanager
def explained() -> Iterator[None]:
    """Turns Spark's errors into ours."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise explanation(error) from None


def explanation(error: Exception) -> StreamflowError:
    """An error of Spark in one line: Python's on an executor, else the first cause in Java."""
    text = str(error)
    if isinstance(error, Py4JNetworkError):
        return StreamflowError(
            "Spark: its Java has ended meanwhile; why is in its warnings above, as when too many"
            " executors were lost"
        )
    if GIVEN_UP in text:
        return StreamflowError(NO_EXECUTOR)
    lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
    causes = [found[1] for line in lines if (found := IN_JAVA.match(line))]
    said = causes[-1] if causes else lines[0]
    if TRACEBACK in text:
        after = text.split(TRACEBACK)[-1].splitlines()[1:]
        said = next((line for line in after if line[:1].strip()), said)
    return StreamflowError(without_secrets(f"Spark: {said.strip()}"))
