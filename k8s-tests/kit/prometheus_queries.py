"""The chart's alerts and the dashboard's queries, and a Prometheus that is asked for them."""

import json
import re
from collections.abc import Collection
from typing import Any

import httpx
import yaml

from kit.metrics_api import until
from kit.render import CHART

RULES = CHART / "files" / "rules.yaml"
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
ALERTS: dict[str, dict[str, Any]] = {
    one["alert"]: one
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for one in group["rules"]
}
QUERIES = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
"""Title, query and legend of each curve and number of the dashboard."""


def answer_all(server: str, namespace: str, job: str, without: Collection[str] = ()) -> None:
    """Asserts that every query of the dashboard finds something, with its legend's labels.

    Args:
        without: titles of panels whose queries find nothing, since there is nothing of that kind.
    """
    filled = {"$namespace": namespace, "$job": job, "$__rate_interval": "1m"}
    for title, query, legend in QUERIES:
        concrete = query
        for name, value in filled.items():
            concrete = concrete.replace(name, value)
        if title in without:
            assert samples(server, concrete) == [], title
            continue
        # What was counted for the first time has no rate before the next scrape.
        until(lambda asked=concrete: samples(server, asked) != [], f"{title}: {concrete}")
        for one in samples(server, concrete):
            assert set(re.findall(r"{{(\w+)}}", legend)) <= one["metric"].keys(), title
            assert one["value"][1] != "NaN", title


def samples(server: str, query: str) -> list[dict[str, Any]]:
    """Queries Prometheus at the URL `server`; returns nothing while it starts."""
    answer = httpx.get(f"{server}/api/v1/query", params={"query": query})
    assert answer.is_success or answer.status_code == 503, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["result"] if answer.is_success else []
    return found


def states(server: str) -> dict[str, str]:
    """The state of each alert, once Prometheus has evaluated all of them."""
    until(lambda: all(one["health"] == "ok" for one in rules(server)), "rules are evaluated")
    return {one["name"]: one["state"] for one in rules(server)}


def rules(server: str) -> list[dict[str, Any]]:
    """All rules that it has."""
    groups = httpx.get(f"{server}/api/v1/rules").json()["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]
