"""Tests of amounts of CPU, memory and storage that Kubernetes would refuse or misread."""

from typing import Any

import pytest
import yaml
from kit.render import CHART, refusal, render

PLACES = [
    *(f"{part}.resources" for part in ("api", "explorer", "jobs", "feast", "prefect", "postgres")),
    *(f"jobs.{job}.resources" for job in ("apply", "ingest", "materialize", "audit", "backup")),
    *(f"jobs.{job}.resources" for job in ("trainingSet", "restore")),
]
DEFAULTS = {
    f"{name}.resources": part["resources"]
    for name, part in yaml.safe_load((CHART / "values.yaml").read_text()).items()
    if "resources" in part
}
AMOUNTS = [
    "4Gi",
    "4096Mi",
    "4194304Ki",
    "4294967296",
    "4294967296000m",
    "4.294967296e9",
    4294967296,
]
"""Ways to write one and the same amount."""


def everywhere(requests: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """Returns values with these resources, and no others, in all places."""
    values: dict[str, Any] = {}
    for place in PLACES:
        for side, amounts in (("requests", requests), ("limits", limits)):
            defaults = DEFAULTS.get(place, {}).get(side, {})
            own = {"cpu": "10m"} if side == "requests" else {}
            values[f"{place}.{side}"] = {**dict.fromkeys(defaults), **own, **amounts}
    return values


@pytest.mark.parametrize(
    ("requests", "limits"),
    [
        ({"memory": "2Gi"}, {"memory": "1Gi"}),
        ({"memory": "1.1G"}, {"memory": "1Gi"}),
        ({"memory": "1025Mi"}, {"memory": 1073741824}),
        ({"cpu": 2}, {"cpu": "1500m", "memory": "1Gi"}),
        ({"cpu": "250m"}, {"cpu": 0.2}),
        ({"ephemeral-storage": "1T"}, {"ephemeral-storage": "999G"}),
    ],
    ids=str,
)
def test_a_request_above_its_limit_is_refused(
    requests: dict[str, Any], limits: dict[str, Any]
) -> None:
    (name,) = requests
    said = refusal(everywhere(requests, limits))
    for place in PLACES:
        (line,) = [one for one in said.splitlines() if f"- {place}.requests.{name} " in one]
        assert f"{place}.limits.{name}" in line
        assert "raise the limit or lower the request" in line


@pytest.mark.parametrize("first", AMOUNTS, ids=str)
def test_equal_amounts_are_equal_however_they_are_written(first: Any) -> None:
    pairs = zip(PLACES, [*AMOUNTS, *AMOUNTS], strict=False)
    render(
        {
            f"{place}.{one}.memory": first if one == "requests" else other
            for place, other in pairs
            for one in ("requests", "limits")
        }
    )


@pytest.mark.parametrize("amount", ["256m", "256", 256, "0", "100k", "1e3"], ids=str)
def test_memory_in_bytes_or_less_is_refused(amount: Any) -> None:
    said = refusal(everywhere({}, {"memory": amount, "ephemeral-storage": amount}))
    for place in PLACES:
        for name in ("memory", "ephemeral-storage"):
            (line,) = [one for one in said.splitlines() if f"- {place}.limits.{name} " in one]
            assert "write it like 256Mi" in line
            assert ("thousandths" in line) == (amount == "256m")


@pytest.mark.parametrize(
    "place", ["postgres.shmSize", "postgres.persistence.size", "jobs.backup.persistence.size"]
)
@pytest.mark.parametrize("amount", ["8", "0", "500m", "1k"])
def test_so_is_a_size(place: str, amount: str) -> None:
    assert place in refusal({place: amount})


@pytest.mark.parametrize(
    ("amount", "said"),
    [("250Mi", "cores"), ("0.1m", "1m"), ("20000", "cores"), (0, "1m")],
)
def test_a_cpu_that_is_no_number_of_cores_is_refused(amount: Any, said: str) -> None:
    answer = refusal({"feast.resources.requests.cpu": amount})
    assert "feast.resources.requests.cpu" in answer
    assert said in answer


@pytest.mark.parametrize("amount", ["1.2.3", "1K", "1 Gi", "Gi", "-1", "1GiB", "1e", "0x10", "."])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    for place in ("jobs.resources.limits.memory", "postgres.shmSize"):
        assert place.replace(".", "/") in refusal({place: amount})


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"limits": {"mem": "1Gi"}}, "mem"),
        ({"requests": {"nvidia.com/gpu": 1}}, "needs the same limit"),
        (
            {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}},
            "needs the same limit",
        ),
        ({"requests": {"hugepages-2Mi": "4Mi"}}, "needs the same limit"),
    ],
)
def test_what_a_node_has_not_or_cannot_share_is_refused(resources: Any, said: str) -> None:
    given = {f"jobs.resources.{side}": amounts for side, amounts in resources.items()}
    assert said in refusal(given)


def test_a_gpu_may_be_asked_for() -> None:
    gpu = {"nvidia.com/gpu": 1}
    values = {"jobs.trainingSet.resources": {"limits": {**gpu, "memory": "1Gi"}, "requests": gpu}}
    render({**values, "jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}]})
