"""An external PostgreSQL behind a pooler in the chart: who goes through it, and who beside."""

from typing import Any

import pytest
from kit.render import EXTERNAL, FULL, Manifest, named, pods, refusal, render

POOLED: dict[str, Any] = {
    **EXTERNAL,
    "postgres.external.port": 6432,
    "postgres.external.pooler.mode": "transaction",
}
BESIDE: dict[str, Any] = {
    **FULL,
    **POOLED,
    "postgres.roles.enabled": True,
    "postgres.external.pooler.direct.host": "postgres.example.com",
    "postgres.external.pooler.direct.port": 5433,
}
ALONE: dict[str, Any] = {**POOLED, "prefect.enabled": False}
THROUGH = {"PGHOST": "db.example.com", "PGPORT": "6432", "STREAMFLOW_POOLER": "transaction"}
DIRECT = {"STREAMFLOW_DIRECT_HOST": "postgres.example.com", "STREAMFLOW_DIRECT_PORT": "5433"}
ITSELF = {"PGHOST": "postgres.example.com", "PGPORT": "5433"}


def addresses(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """Returns the host and port that each container connects to, by `pod container`."""
    names = {*THROUGH, *DIRECT}
    found = {}
    for name, pod in pods(manifests).items():
        for one in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            given = {each["name"]: each.get("value") for each in one.get("env", ())}
            found[f"{name} {one['name']}"] = {k: v for k, v in given.items() if k in names}
    return {name: where for name, where in found.items() if "PGHOST" in where}


def test_what_needs_a_session_goes_beside_the_pooler() -> None:
    found = addresses(render(BESIDE))
    itself = {name.split()[1] for name, where in found.items() if where == ITSELF}
    through = {name.split()[1] for name, where in found.items() if where == THROUGH | DIRECT}
    assert itself == {"dump", "prepare", "restore", "finish", "roles", "prefect", "create-database"}
    assert through >= {"api", "apply", "ingest", "materialize", "training-set", "feast", "backup"}
    assert len(found) == len([one for one in found.values() if one in (ITSELF, THROUGH | DIRECT)])


def test_without_an_address_beside_it_all_goes_through() -> None:
    found = addresses(render(ALONE))
    assert found
    assert [name for name, where in found.items() if where != THROUGH] == []


def test_without_a_pooler_nothing_speaks_of_one() -> None:
    for values in ({}, FULL, {**FULL, **EXTERNAL}):
        assert {name for one in addresses(render(values)).values() for name in one} == {
            "PGHOST",
            "PGPORT",
        }


def test_both_addresses_may_be_reached() -> None:
    for values, ports in ((BESIDE, {6432, 5433}), (ALONE, {6432})):
        policy = named(render(values), "NetworkPolicy")["streamflow-api"]
        found = [one["port"] for rule in policy["spec"]["egress"] for one in rule["ports"]]
        assert set(found) - {4318} == {53, *ports}  # but for the collector of traces


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (POOLED, "prefect.enabled"),
        ({**ALONE, "jobs.backup.enabled": True}, "jobs.backup.enabled"),
        ({**ALONE, "jobs.restore.backup": "latest"}, "jobs.restore.backup"),
        (
            {**EXTERNAL, "postgres.external.pooler.direct.host": "db"},
            "postgres.external.pooler.mode",
        ),
        ({**EXTERNAL, "postgres.external.pooler.mode": "session"}, "transaction"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)
