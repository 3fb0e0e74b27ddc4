"""Tests of the requests to a release, one by one, while things break under it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kit.cluster import CHART, run
from kit.namespace import MONTH, Namespace, until

from drills.results import choose, record_load

pytestmark = pytest.mark.alone

RATE = choose(50, 100)
"""Requests a second."""
KEEPS_POSTGRES = "app.kubernetes.io/component=postgres"
IS_API = "app.kubernetes.io/component=api"
SERVICE, PODS = "streamflow-api", "streamflow-api-headless:8000"
"""The two addresses that clients ask: the Service's own, and those of the pods behind it."""


@pytest.fixture(scope="module")
def release(namespace: Namespace) -> Namespace:
    """A release with a month of data and two pods of the API, on two nodes."""
    namespace.install(
        *("--set-json", f"jobs.ingest.months={json.dumps([MONTH])}"),
        *("--set", "api.autoscaling.enabled=false", "--set", "prefect.enabled=false"),
    )
    return namespace


@pytest.fixture(autouse=True)
def whole(release: Namespace) -> Iterator[None]:
    """Waits after each test until the release is whole again."""
    yield
    until(lambda: len(ready_pods(release, IS_API)), lambda count: count == 2, 240)


def ready_pods(namespace: Namespace, selector: str) -> dict[str, dict[str, Any]]:
    """The pods that are ready and stay, by name."""
    return {
        one["metadata"]["name"]: one
        for one in namespace.get("Pod", selector=selector)
        if not one["metadata"].get("deletionTimestamp")
        for condition in one["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def node_of(namespace: Namespace, selector: str) -> str:
    """The node of the first pod."""
    return str(next(iter(ready_pods(namespace, selector).values()))["spec"]["nodeName"])


def restarts(namespace: Namespace) -> dict[str, int]:
    """Returns the number of restarts of each pod of the API."""
    return {
        name: one["status"]["containerStatuses"][0]["restartCount"]
        for name, one in ready_pods(namespace, IS_API).items()
    }


def test_a_restarted_database_fails_requests_only_while_it_is_down(release: Namespace) -> None:
    before = restarts(release)
    load = release.load(rate=RATE, seconds=60, node=node_of(release, KEEPS_POSTGRES))
    began = time.time()
    time.sleep(10)
    release.kubectl("delete", "pod", "streamflow-postgres-0", "--wait=true")
    until(lambda: ready_pods(release, KEEPS_POSTGRES), bool, 120)
    back = time.time()
    found = load()
    assert found["wrong"] == []
    assert set(found["failed"]) <= {"503"}, "a hang, or an answer that is none"
    assert found["slowest_s"] < 10
    first, last = found["failed_at_s"]
    assert first > 5
    # Ready is what the kubelet last saw: up to a probe's period after the server answered.
    after = found["began"] + last - back
    assert after < 1, f"failed {after:.1f} s after the database was ready"
    assert restarts(release) == before
    record_load("database restarted", found, max(0.0, round(after, 1)), "; 503 while it was away")
    assert began < back


def test_a_drained_node_fails_no_request(release: Namespace) -> None:
    keeper = node_of(release, KEEPS_POSTGRES)
    nodes = {one["spec"]["nodeName"] for one in ready_pods(release, IS_API).values()}
    drained = next(iter(nodes - {keeper}))
    load = release.load(rate=RATE, seconds=60, node=keeper)
    try:
        options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
        release.cluster.kubectl("drain", drained, *options)
        found = load()
    finally:
        release.cluster.kubectl("uncordon", drained)
    assert (found["failed"], found["wrong"]) == ({}, [])
    record_load("node drained", found)


def test_a_rolling_upgrade_and_its_rollback_fail_no_request(release: Namespace) -> None:
    before = set(ready_pods(release, IS_API))
    load = release.load(rate=RATE, seconds=90, node=node_of(release, KEEPS_POSTGRES))
    release.helm(
        *("upgrade", "streamflow", str(CHART), "--reuse-values", "--wait"),
        *("--set", "api.podAnnotations.drill=upgrade", "--timeout", "5m"),
    )
    upgraded = set(ready_pods(release, IS_API))
    assert upgraded.isdisjoint(before)
    release.helm("rollback", "streamflow", "--wait", "--timeout", "5m")
    assert set(ready_pods(release, IS_API)).isdisjoint(upgraded)
    found = load()
    assert (found["failed"], found["wrong"]) == ({}, [])
    record_load("rolling upgrade and rollback", found)


def test_pods_that_are_deleted_one_after_the_other_fail_no_request(release: Namespace) -> None:
    load = release.load(rate=RATE, seconds=60, node=node_of(release, KEEPS_POSTGRES))
    for name in ready_pods(release, IS_API):
        release.kubectl("delete", "pod", name, "--wait=true")
        until(lambda: len(ready_pods(release, IS_API)), lambda count: count == 2, 120)
    found = load()
    assert (found["failed"], found["wrong"]) == ({}, [])
    record_load("pods of the API deleted", found)


def test_a_pod_that_is_killed_costs_what_it_had_in_hand(release: Namespace) -> None:
    load = release.load(rate=RATE, seconds=40, node=node_of(release, KEEPS_POSTGRES))
    time.sleep(5)
    killed = next(iter(ready_pods(release, IS_API)))
    release.kubectl("delete", "pod", killed, "--grace-period=0", "--force")
    found = load()
    assert found["wrong"] == []
    # Until its address is taken out of the Service, connections to it are refused.
    assert sum(found["failed"].values()) < 3 * RATE
    assert found["longest_gap_s"] < 2
    first, last = found["failed_at_s"] or (0.0, 0.0)
    record_load("pod of the API killed", found, round(last - first, 1))


def test_a_lost_node_costs_what_it_had_in_hand(release: Namespace) -> None:
    keeper = node_of(release, KEEPS_POSTGRES)
    nodes = {one["spec"]["nodeName"] for one in ready_pods(release, IS_API).values()}
    lost = next(iter(nodes - {keeper}))
    loads = [release.load(RATE, choose(60, 120), keeper, host) for host in (SERVICE, PODS)]
    time.sleep(5)
    run("docker", "kill", lost)
    try:
        by_service, by_pods = (load(whole=True) for load in loads)
    finally:
        run("docker", "start", lost)
    began = time.monotonic()
    release.cluster.kubectl("wait", f"node/{lost}", "--for=condition=Ready", "--timeout=180s")
    until(lambda: len(ready_pods(release, IS_API)), lambda count: count == 2, 240)
    release.ready("pod", "--selector=app.kubernetes.io/component in (feast, postgres)")
    whole_s = round(time.monotonic() - began, 1)
    record_load("node lost and back", by_pods, whole_s, ", of the pods' own addresses")
    record_load("node lost and back", by_service, whole_s, ", of the Service's address")
    assert (by_pods["wrong"], by_service["wrong"]) == ([], [])
    # Who cannot connect to the lost pod asks the other one: what had been sent to it is lost.
    assert sum(by_pods["failed"].values()) < RATE / 10
    # The Service leads to the lost pod until its node is noticed; the other pod answers on.
    assert by_service["longest_gap_s"] < 15
