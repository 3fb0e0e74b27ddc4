"""Tests of the chart's NetworkPolicies: every pod is covered, nothing is left open."""

from typing import Any

import pytest
from kit.render import EXTERNAL, FULL, Manifest, named, pods, render

PEER = {"podSelector": {"matchLabels": {"app": "witness"}}}


def policies(values: dict[str, Any] | None = None) -> dict[str, Manifest]:
    """The spec of each part's NetworkPolicy, with no rule where none is said."""
    found = named(render(values), "NetworkPolicy")
    return {
        name.removeprefix("streamflow-"): {"ingress": [], "egress": [], **one["spec"]}
        for name, one in found.items()
    }


def reached(rules: list[Manifest], side: str) -> dict[str, set[int]]:
    """The ports by who has them: a part of the release, `dns`, `namespace`, or `anybody`."""
    found: dict[str, set[int]] = {}
    for rule in rules:
        for peer in rule.get(side, [{}]):
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            who = "dns" if "k8s-app" in labels else "anybody" if not peer else "namespace"
            who = labels.get("app.kubernetes.io/component", labels.get("app", who))
            found.setdefault(who, set()).update(one["port"] for one in rule["ports"])
    return found


@pytest.mark.parametrize("values", [{}, FULL, {**FULL, **EXTERNAL}], ids=["default", "full", "ext"])
def test_every_pod_has_one_policy_for_both_directions(values: dict[str, Any]) -> None:
    manifests = render(values)
    found = named(manifests, "NetworkPolicy").values()
    for one in found:
        assert one["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for name, pod in pods(manifests).items():
        labels = pod["metadata"]["labels"].items()
        matching = [
            one["metadata"]["name"]
            for one in found
            if one["spec"]["podSelector"]["matchLabels"].items() <= labels
        ]
        assert len(matching) == 1, name


def test_who_reaches_whom() -> None:
    found = policies()
    into = {part: reached(one["ingress"], "from") for part, one in found.items()}
    out = {part: reached(one["egress"], "to") for part, one in found.items()}
    clients = ("api", "explorer", "feast", "jobs", "prefect", "test")
    assert into == {
        "api": {"namespace": {8000}},
        "explorer": {},
        "feast": {},
        "jobs": {},
        "postgres": {part: {5432} for part in clients},
        "prefect": {"feast": {4200}, "jobs": {4200}},
        "test": {},
    }
    database = {"dns": {53}, "postgres": {5432}}
    assert out == {
        "api": database,
        "explorer": database,
        "feast": {**database, "prefect": {4200}, "api": {8000}},
        "jobs": {**database, "prefect": {4200}},
        "postgres": {},
        "prefect": database,
        "test": {**database, "api": {8000}},
    }


@pytest.mark.parametrize("of", ["api", "metrics", "explorer", "feast", "prefect", "postgres"])
def test_who_is_named_is_let_in(of: str) -> None:
    part = "api" if of == "metrics" else of
    before, after = policies()[part], policies({f"networkPolicy.{of}.from": [PEER]})[part]
    port = {"api": 8000, "explorer": 8100, "feast": 8888, "prefect": 4200, "postgres": 5432}[part]
    assert reached(after["ingress"], "from") == {
        **reached(before["ingress"], "from"),
        "witness": {port},
    }
    assert after["egress"] == before["egress"]


def test_the_jobs_and_the_commands_of_people_go_where_they_are_sent() -> None:
    rule = {"ports": [{"port": 443}], "to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}
    found = policies({"networkPolicy.jobs.egress": [rule]})
    assert {part for part, one in found.items() if rule in one["egress"]} == {"jobs", "feast"}


@pytest.mark.parametrize(
    ("cidr", "to"), [("", None), ("10.1.2.3/32", [{"ipBlock": {"cidr": "10.1.2.3/32"}}])]
)
def test_an_external_server_is_its_port(cidr: str, to: list[Manifest] | None) -> None:
    values = {**EXTERNAL, "postgres.external.port": 6432, "networkPolicy.postgres.cidr": cidr}
    for part, one in policies(values).items():
        assert part != "postgres"
        (rule,) = [rule for rule in one["egress"] if {"port": 6432} in rule["ports"]]
        assert rule.get("to") == to, part


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://prefect.example.com/api", 443),
        ("http://prefect.example.com/api", 80),
        ("http://prefect.elsewhere:4201/api", 4201),
    ],
)
def test_another_prefect_is_its_port(url: str, port: int) -> None:
    out = reached(policies({"prefect.apiUrl": url})["jobs"]["egress"], "to")
    assert out == {"dns": {53}, "postgres": {5432}, "anybody": {port}}


def test_names_may_be_resolved_elsewhere() -> None:
    values = {"networkPolicy.dns.to": [], "networkPolicy.dns.port": 5353}
    assert reached(policies(values)["api"]["egress"], "to") == {
        "anybody": {5353},
        "postgres": {5432},
    }
