"""Months of many users on the chart's default values: every part stays within its memory.

A drill: three months of a million users, and a picture of what each pod held; a month of 100,000
when it is run by itself. All that the chart schedules is run once meanwhile, and the API is asked.
"""

import json
import re

import pytest
from kit.cluster import ROOT, CommandFailedError
from kit.namespace import Namespace, until
from kit.pod_memory import MIB, PodMemory, measured

from drills.results import Result, choose, is_long, record
from measurements.plot import Line, Panel, draw_over_time

PICTURE = ROOT / "docs" / "pictures" / "memory.svg"
DAYS = ("2024-01-31", "2024-02-29", "2024-03-31")
SCHEDULED = ("materialize", "audit", "backup")
RATE = 20

pytestmark = pytest.mark.drill


def test_every_part_stays_within_its_memory(namespace: Namespace) -> None:
    users, days = choose(100_000, 1_000_000), DAYS[: choose(1, 3)]
    months = [
        {"asOf": day, "source": "sample", "month": f"month_{number:03}"}
        for number, day in enumerate(days)
    ]
    with measured(namespace) as memory:
        namespace.install(
            *("--set", f"jobs.ingest.sample.users={users}"),
            *("--set-json", f"jobs.ingest.months={json.dumps(months)}"),
            *("--set-json", f"jobs.trainingSet.datasets={json.dumps([{'asOf': days[-1]}])}"),
            wait=False,
        )
        namespace.kubectl(
            "rollout", "status", "deploy/streamflow-api", "--timeout=600s", timeout=620
        )
        until(lambda: is_served(namespace), bool, 1800)
        summary = namespace.load(RATE, choose(60, 900))
        for job in namespace.jobs():
            namespace.complete(job, timeout=3600)
        for command in SCHEDULED:
            name = f"{command}-by-hand"
            namespace.kubectl("create", "job", name, f"--from=cronjob/streamflow-{command}")
            namespace.complete(name, timeout=1800)
        load = summary()
    report(memory, users, load["requests"], sum(load["failed"].values()))
    assert load["failed"] == {}
    assert restarts(namespace) == {}
    for name, peak in memory.peaks().items():
        assert peak * MIB < 0.9 * memory.limits[name], (name, peak)


def is_served(namespace: Namespace) -> bool:
    """Tells whether the first month is online."""
    try:
        return bool(namespace.ask("/features/0002-ORFBO"))
    except CommandFailedError:
        return False


def restarts(namespace: Namespace) -> dict[str, int]:
    """Returns the restarts of the namespace's containers, by pod; only pods that had some."""
    return {
        one["metadata"]["name"]: count
        for one in namespace.get("Pod")
        for status in one["status"].get("containerStatuses", [])
        if (count := status["restartCount"])
    }


def report(memory: PodMemory, users: int, requests: int, failed: int) -> None:
    """Prints the peak of each pod; in a drill, draws the picture and notes the row."""
    for name, peak in sorted(memory.peaks().items()):
        print(f"  {name}: {peak:,.0f} of {memory.limits[name] / MIB:,.0f} MiB")
    if not is_long():
        return
    panels: dict[str, dict[str, Line]] = {"what always runs": {}, "the jobs": {}}
    for name, line in memory.points.items():
        words = memory.jobs.get(name, name).removeprefix("streamflow-")
        what = re.sub("-[0-9a-f]{8,10}(-.{5})?$|-by-hand$|-0$", "", words)
        panel = "the jobs" if name in memory.jobs else "what always runs"
        points = [(at, held / MIB) for at, held in line]
        panels[panel][what] = [*panels[panel].get(what, []), *points]
    title = f"Memory of each pod: three months of {users:,} users"
    drawn = [Panel(name, "MiB", lines) for name, lines in panels.items()]
    PICTURE.write_text(draw_over_time(title, drawn))
    load = f"default values, {users:,} users, {RATE} requests a second"
    record(
        Result("three months in, and all that is scheduled", load, requests, failed, None, lost=0)
    )
