"""Replicas in the chart: who reads them, by which host, and what cannot work with them."""

from pathlib import Path
from typing import Any

import pytest
from kit.render import EXTERNAL, FULL, Manifest, named, notes, pods, refusal, render

READING: dict[str, Any] = {
    **FULL,
    **EXTERNAL,
    "api.postgres.readHost": "one.example.com,two.example.com",
    "api.postgres.readPort": 5434,
    "api.postgres.maxLagSeconds": 12,
}
KEY = {"api.postgres.readHostKey": "read-host"}
SETTINGS = {
    "STREAMFLOW_API_READ_HOST": "one.example.com,two.example.com",
    "STREAMFLOW_API_READ_PORT": "5434",
    "STREAMFLOW_API_MAX_LAG_S": "12",
}


def settings(manifests: list[Manifest]) -> dict[str, str]:
    """The settings of the API that speak of replicas."""
    found = named(manifests, "ConfigMap")["streamflow-api"]["data"]
    return {name: text for name, text in found.items() if "READ_" in name or "LAG" in name}


def api_variables(manifests: list[Manifest]) -> dict[str, Any]:
    """The variables of the API's container."""
    (container,) = pods(manifests)["Deployment/streamflow-api"]["spec"]["containers"]
    return {one["name"]: one for one in container["env"]}


def ports(manifests: list[Manifest], part: str) -> set[int]:
    """The ports that a part's pods may reach, but for that of the collector of traces."""
    policy = named(manifests, "NetworkPolicy")[f"streamflow-{part}"]
    found = {one["port"] for rule in policy["spec"]["egress"] for one in rule.get("ports", ())}
    return found - {4318}


def test_the_api_alone_reads_replicas_and_writes_go_to_the_primary(tmp_path: Path) -> None:
    manifests = render(READING)
    assert settings(manifests) == SETTINGS
    assert api_variables(manifests)["PGHOST"]["value"] == "db.example.com"
    assert ports(manifests, "api") == {53, 5432, 5434}
    assert 5434 not in ports(manifests, "jobs")
    told = notes(tmp_path, READING)
    assert "features are read from one.example.com,two.example.com, port 5434, at most 12 s" in told


def test_the_host_may_be_in_the_secret(tmp_path: Path) -> None:
    values = {**READING, **KEY, "api.postgres.readHost": ""}
    manifests = render(values)
    assert settings(manifests) == {
        name: text for name, text in SETTINGS.items() if name != "STREAMFLOW_API_READ_HOST"
    }
    assert api_variables(manifests)["STREAMFLOW_API_READ_HOST"]["valueFrom"] == {
        "secretKeyRef": {"name": "known", "key": "read-host"}
    }
    assert ports(manifests, "api") == {53, 5432, 5434}
    assert "the host in key read-host of Secret known, port 5434" in notes(tmp_path, values)


def test_without_replicas_nothing_speaks_of_them(tmp_path: Path) -> None:
    for values in ({}, FULL, {**FULL, **EXTERNAL}):
        manifests = render(values)
        assert settings(manifests) == {}
        assert "STREAMFLOW_API_READ_HOST" not in api_variables(manifests)
        assert "Replicas" not in notes(tmp_path, values)


def test_replicas_take_the_reads_off_the_primary_s_connections(tmp_path: Path) -> None:
    def connections(values: dict[str, Any]) -> int:
        (line,) = [
            one for one in notes(tmp_path, values).splitlines() if one.endswith(" connections")
        ]
        return int(line.split()[-2])

    many = {"api.poolSize": 20, "api.autoscaling.maxReplicas": 9}
    alone = connections({**FULL, **EXTERNAL, **many})
    assert alone - connections({**READING, **many}) == 10 * (20 + 3 - 4)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"api.postgres.readHost": "replica"},
            "api.postgres.readHost names a replica, but the bundled PostgreSQL has none",
        ),
        (KEY, "api.postgres.readHostKey names a replica, but the bundled PostgreSQL has none"),
        ({**READING, **KEY}, "api.postgres has both readHost and readHostKey"),
        (
            {**READING, "api.settings": {"SERVE_STALE": True}},
            "api.settings.SERVE_STALE gives kept answers, but none are kept",
        ),
        (
            {**READING, "api.settings": {"READ_HOST": "replica"}},
            "api.settings.READ_HOST has a value of its own: set api.postgres.readHost",
        ),
        ({**READING, "api.postgres.readHost": "a, b"}, "/api/postgres/readHost"),
        ({**READING, "api.postgres.readHost": "replica:5432"}, "/api/postgres/readHost"),
        ({**READING, "api.postgres.maxLagSeconds": 0}, "/api/postgres/maxLagSeconds"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)
