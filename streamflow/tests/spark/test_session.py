"""A session on Kubernetes waits for its first executor, and no longer than it is told."""

import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JError, Py4JNetworkError

from streamflow.errors import StreamflowError
from streamflow.registry.stores import SparkSettings
from streamflow.spark import session


class Context:
    """A context of Spark whose executors come one at each look."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts
        status = SimpleNamespace(size=lambda: 1 + counts.pop(0))  # the driver is one of them
        scala = SimpleNamespace(getExecutorMemoryStatus=lambda: status)
        self._jsc = SimpleNamespace(sc=lambda: scala)

    def getConf(self) -> dict[str, str]:  # noqa: N802  # Spark's name
        return {"spark.executor.instances": "2"}


def test_the_first_executor_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    context: Any = Context([0, 0, 1])
    session.wait_for_executor(context, time.monotonic() + 60)
    assert context.counts == []
    assert [record.message for record in caplog.records] == [
        "waiting for executors",
        "executors are there",
    ]


def test_without_one_it_says_where_the_reason_is() -> None:
    context: Any = Context([0] * 100)
    with pytest.raises(StreamflowError, match="no executor came in time") as refused:
        session.wait_for_executor(context, time.monotonic() + 0.5)
    assert "spark-role=executor" in str(refused.value)


def test_of_a_spark_that_has_given_up_it_says_so_too() -> None:
    context: Any = Context([])

    def gone() -> None:
        raise Py4JError("Answer from Java side is empty")

    context._jsc.sc = gone
    with pytest.raises(StreamflowError, match="no executor came in time"):
        session.wait_for_executor(context, time.monotonic() + 60)


def gone(*_: Any) -> None:
    """A call of a Java that has ended."""
    raise Py4JNetworkError("Answer from Java side is empty")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose Java has ended, so that it cannot be stopped."""
    context = SimpleNamespace(master="local", getConf=dict)
    builder: Any = SimpleNamespace(
        getOrCreate=lambda: SimpleNamespace(sparkContext=context, stop=gone)
    )
    builder.config = lambda **_: builder
    monkeypatch.setattr(session, "SparkContext", SimpleNamespace(_active_spark_context=None))
    monkeypatch.setattr(session, "SparkSession", SimpleNamespace(builder=builder))


@pytest.mark.usefixtures("ended")
def test_where_java_itself_has_ended_that_is_what_is_told() -> None:
    with (
        pytest.raises(StreamflowError, match="its Java has ended meanwhile"),
        session.opened(SparkSettings()),
    ):
        gone()


@pytest.mark.usefixtures("ended")
def test_what_failed_before_is_told_though_java_cannot_be_stopped() -> None:
    with pytest.raises(StreamflowError, match="no room"), session.opened(SparkSettings()):
        raise StreamflowError("no room")


IN_JAVA = """An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.
: org.apache.spark.SparkException: External scheduler cannot be instantiated
\tat org.apache.spark.SparkContext$.createTaskScheduler(SparkContext.scala:3204)
Caused by: io.fabric8.kubernetes.client.KubernetesClientException: Operation: [get] failed.
\tat io.fabric8.kubernetes.client.KubernetesClientException.launderThrowable(Kube.java:159)
Caused by: io.fabric8.kubernetes.client.KubernetesClientException: pods "a" is forbidden: no right
\t... 1 more
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (IN_JAVA, 'Spark: KubernetesClientException: pods "a" is forbidden: no right'),
        (
            "An error occurred while calling o1.x.\n: java.net.UnknownHostException: db: no name\n",
            "Spark: UnknownHostException: db: no name",
        ),
        (
            "Job aborted. Traceback (most recent call last):\n  File a\nRuntimeError: no room\n\n"
            "\tat org.apache.spark\nCaused by: org.apache.spark.api.python.PythonException: x",
            "Spark: RuntimeError: no room",
        ),
        (
            "[PATH_NOT_FOUND] Path does not exist: a",
            "Spark: [PATH_NOT_FOUND] Path does not exist: a",
        ),
        (
            "An error occurred.\n: java.lang.IllegalStateException: Spark context stopped while"
            " waiting for backend\n\tat",
            session.NO_EXECUTOR,
        ),
    ],
)
def test_an_error_is_told_by_its_first_cause(text: str, said: str) -> None:
    assert str(session.explanation(Exception(text))) == said
