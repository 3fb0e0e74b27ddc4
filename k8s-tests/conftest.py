"""One kind cluster for the run, kept on request, and what a failure needs to be understood."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import Cluster, Images, missing
from namespace import SAMPLE, Namespace, make_namespace, state


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--keep-cluster`: leave the cluster for the next run, which is two minutes faster."""
    parser.addoption("--keep-cluster", action="store_true", help="leave the kind cluster running")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A three-node kind cluster; skipped where there can be none, unless it is required."""
    if reason := missing():
        if os.environ.get("STREAMFLOW_REQUIRE_CLUSTER"):
            pytest.fail(f"a cluster is required and none can be made: {reason}")
        pytest.skip(reason)
    found = Cluster("streamflow-test")
    found.create()
    yield found
    if not request.config.getoption("--keep-cluster"):
        found.delete()


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Images:
    """The images of this checkout, on the cluster's nodes."""
    return cluster.fill()


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
    cluster.kubectl("delete", "namespace", found.name, "--wait=false")


NAMESPACE = pytest.StashKey[Namespace]()


@pytest.fixture(scope="session")
def sample_release(
    cluster: Cluster, images: Images, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace with a release that has a month of generated data and its training set.

    The modules that share it run last, one after the other.
    """
    found = make_namespace(cluster, images, "sample")
    request.session.stash[NAMESPACE] = found
    found.install(*SAMPLE)
    yield found
    cluster.kubectl("delete", "namespace", found.name, "--wait=false")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a cluster; those that share a release run last, in nobody's way."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker("cluster")
            item.add_marker(pytest.mark.timeout(3600))
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
