"""One kind cluster for the run, kept on request, and what a failure needs to be understood."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kit.cluster import KIND_CONFIG, Cluster, Images, missing
from kit.namespace import SAMPLE, Namespace, make_namespace, state
from xdist.scheduler import LoadScopeScheduling


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--keep-cluster`: leave the cluster for the next run, which is two minutes faster."""
    parser.addoption("--keep-cluster", action="store_true", help="leave the kind cluster running")


CLUSTER = Cluster(os.environ.get("STREAMFLOW_TEST_CLUSTER", "streamflow-test"))
"""Another name keeps two checkouts from sharing a cluster."""


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """A three-node kind cluster; skipped where there can be none, unless it is required."""
    if reason := missing():
        if os.environ.get("STREAMFLOW_REQUIRE_CLUSTER"):
            pytest.fail(f"a cluster is required and none can be made: {reason}")
        pytest.skip(reason)
    with one_at_a_time():
        CLUSTER.create()
    return CLUSTER


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Images:
    """The images of this checkout, on the cluster's nodes."""
    with one_at_a_time():
        return cluster.fill()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Holds a lock among the processes that run tests; the first makes what all use."""
    with KIND_CONFIG.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
        yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes that a test had the cluster, also one that ran in another process."""
    if "cluster" in report.keywords and not report.skipped:
        used.append(report.nodeid)


used: list[str] = []
"""Tests that had the cluster."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Removes the cluster when the last process has ended, unless it is to be kept."""
    is_worker = hasattr(session.config, "workerinput")
    if used and not is_worker and not session.config.getoption("--keep-cluster"):
        CLUSTER.delete()


@pytest.fixture(scope="module")
def namespace(
    cluster: Cluster, images: Images, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace for a module's tests, in which they follow on each other."""
    found = make_namespace(
        cluster, images, request.module.__name__.split(".")[-1].replace("_", "-")
    )
    request.session.stash[NAMESPACE] = found
    yield found
    remove(found)


NAMESPACE = pytest.StashKey[Namespace]()


@pytest.fixture(scope="session")
def sample_release(
    cluster: Cluster, images: Images, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace with a release that has a month of generated data and its training set.

    The modules that share it follow on each other, and it goes after the last of their tests.
    """
    found = make_namespace(cluster, images, "sample")
    request.session.stash[NAMESPACE] = found
    found.install(*SAMPLE)
    yield found
    remove(found)


def remove(namespace: Namespace) -> None:
    """Deletes a namespace, if it is there, and waits for nothing."""
    options = ("--ignore-not-found", "--wait=false")
    namespace.cluster.kubectl("delete", "namespace", namespace.name, *options)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Any:
    """Removes the shared release after the last test that needs it, long before the session ends:
    others want what it asks of the nodes."""
    shared = (getattr(item, "funcargs", None) or {}).get("sample_release")
    found = yield
    if shared is not None and "sample_release" not in getattr(nextitem, "fixturenames", ()):
        remove(shared)
    return found


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks what needs a cluster."""
    if "cluster" in getattr(item, "fixturenames", ()):
        item.add_marker("cluster")
        item.add_marker(pytest.mark.timeout(3600))


class ByRelease(LoadScopeScheduling):
    """Gives all tests of a release to one process, in which they follow on each other."""

    def _split_scope(self, nodeid: str) -> str:
        module, *_ = nodeid.split("::")
        is_shared = "sample_release" in (self.config.rootpath / module).read_text()
        return "sample" if is_shared else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Distributes by release where whole scopes were asked for."""
    return ByRelease(config, log) if config.option.dist == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests that share a release together."""
    items.sort(key=lambda item: "sample_release" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Adds to a failure what the namespace looks like: pods, events and last logs."""
    report = yield
    found = item.session.stash.get(NAMESPACE, None)
    used = {"namespace", "sample_release"} & set(getattr(item, "fixturenames", ()))
    if report.failed and found is not None and used:
        report.sections.append(("cluster", state(found)))
    return report
