"""A release that is asked and written to for long: nothing grows; how slow it is, is drawn.

A drill of thirty minutes; of two, which show less, when it is run by itself. Every minute the month
comes in again with other values and is materialized, while requests of all kinds go on.
"""

import json
import re
import statistics
import time

import pytest
from kit.cluster import ROOT
from kit.namespace import MONTH, Namespace, until

from drills.results import Result, choose, is_long, record
from measurements.plot import Panel, draw_over_time

PICTURE = ROOT / "docs" / "pictures" / "long-run.svg"
MIXED = (ROOT / "k8s-tests" / "kit" / "inside" / "mixed_load.py").read_text()
RATE, SAMPLE_S, MINUTE = 20, 10, 60
MEMORY = "cat /proc/[0-9]*/status 2>/dev/null | awk '/^RssAnon/ {held += $2} END {print held}'"
"""Kilobytes that a pod's processes hold, without files and what they share; some may just end."""
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"

pytestmark = pytest.mark.drill

Points = dict[str, list[tuple[float, float]]]


@pytest.fixture(scope="module")
def release(namespace: Namespace) -> Namespace:
    """A release with a month of data and two pods of the API."""
    namespace.install(
        *("--set-json", f"jobs.ingest.months={json.dumps([MONTH])}"),
        *("--set", "api.autoscaling.enabled=false", "--set", "prefect.enabled=false"),
    )
    return namespace


def month_again(namespace: Namespace, seed: int) -> str:
    """Starts a Job that brings the month in with other values; its name."""
    (name,) = [one for one in namespace.jobs() if "-ingest-" in one]
    kept = json.loads(namespace.kubectl("get", "job", name, "--output=json"))
    spec = kept["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    other = f"/seed-{1000 + seed}/"
    container["args"] = [re.sub(r"/seed-\d+/", other, word) for word in container["args"]]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"again-{seed}"},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": component(kept["spec"]["template"]["metadata"]["labels"])},
                "spec": spec,
            },
        },
    }
    namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(job))
    return f"again-{seed}"


def component(labels: dict[str, str]) -> dict[str, str]:
    """The labels that policies go by, without those that tie a pod to its Job."""
    return {name: text for name, text in labels.items() if name.startswith("app.kubernetes.io/")}


def sample(namespace: Namespace, at: float, memory: Points, connections: Points) -> None:
    """Adds what every pod holds now."""
    for part in ("api", "postgres", "feast"):
        selector = f"app.kubernetes.io/component={part}"
        for number, one in enumerate(namespace.get("Pod", selector=selector)):
            name = one["metadata"]["name"]
            held = namespace.kubectl("exec", name, "--", "sh", "-c", MEMORY)
            memory.setdefault(f"{part} {number + 1}", []).append((at, int(held) / 1024))
    psql = ("exec", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-XAtc", CONNECTIONS)
    connections.setdefault("open", []).append((at, float(namespace.kubectl(*psql))))


def thirds(points: list[tuple[float, float]]) -> tuple[float, float]:
    """The medians of the second third and of the last; the first is warming up."""
    figures = [figure for _, figure in points]
    third = max(1, len(figures) // 3)
    return statistics.median(figures[third : 2 * third]), statistics.median(figures[-third:])


def test_nothing_grows_and_nothing_fails(release: Namespace) -> None:
    minutes = choose(2, 30)
    psql = ("exec", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-XAtc")
    users = release.kubectl(
        *psql, "SELECT string_agg(user_id, ',') FROM (SELECT user_id FROM source.users LIMIT 500)"
    ).strip()
    url = "http://streamflow-api"
    release.run_pod("mixed", "python", "-c", MIXED, url, str(RATE), str(minutes * MINUTE), users)
    release.ready("pod/mixed")
    memory: Points = {}
    connections: Points = {}
    began, months = time.monotonic(), 0
    while (at := time.monotonic() - began) < minutes * MINUTE:
        if at >= months * MINUTE:
            months += 1
            month_again(release, months)
        sample(release, at, memory, connections)
        time.sleep(max(0.0, began + at + SAMPLE_S - time.monotonic()))
    lines = [json.loads(one) for one in release.finished("mixed").splitlines()]
    for number in range(1, months + 1):
        release.complete(f"again-{number}")
    found = lines[-1]
    failed = sum(found["failed"].values())
    latency: Points = {
        name: [(one["at"], one[f"{name}_ms"]) for one in lines] for name in ("p50", "p99")
    }
    print(f"{months} months, {found['requests']} requests, {failed} failed")
    for name, points in {**memory, **connections, **latency}.items():
        print(f"  {name}: {', '.join(f'{figure:.1f}' for figure in thirds(points))}")
    report(minutes, months, found["requests"], failed, memory, connections, latency)
    assert failed == 0, found["failed"]
    for points in memory.values():
        before, after = thirds(points)
        assert after < before * 1.1 + 8, memory
    before, after = thirds(connections["open"])
    assert after <= before + 2, connections
    until(lambda: restarts(release), lambda count: count == 0, 5)


def restarts(namespace: Namespace) -> int:
    """Returns the number of restarts of all containers of the release."""
    return sum(
        status["restartCount"]
        for one in namespace.get("Pod", selector="app.kubernetes.io/instance=streamflow")
        for status in one["status"].get("containerStatuses", [])
    )


def report(
    minutes: int,
    months: int,
    requests: int,
    failed: int,
    memory: Points,
    connections: Points,
    latency: Points,
) -> None:
    """In a drill, draws the picture and notes the row of the table."""
    if not is_long():
        return
    panels = [
        Panel("memory of each pod", "MiB", memory),
        Panel("connections to PostgreSQL", "connections", connections),
        Panel("latency", "ms", latency),
    ]
    title = f"{minutes} minutes, {RATE} requests a second, {months} months ingested"
    PICTURE.write_text(draw_over_time(title, panels))
    load = f"{RATE} mixed requests a second for {minutes} min, {months} months ingested"
    record(Result("long run", load, requests, failed, None, lost=0))
