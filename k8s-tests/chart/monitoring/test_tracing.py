"""Tests of tracing: the same variables for the API and every job, and the way to the collector."""

from typing import Any

import pytest
from kit.render import FULL, containers, named, pods, refusal, render

ENDPOINT = "http://collector.observability:4318"
ON = {**FULL, "tracing.endpoint": ENDPOINT, "tracing.ratio": 0.25}
COLLECTOR = {"namespaceSelector": {"matchLabels": {"name": "observability"}}}


def variables(values: dict[str, Any]) -> dict[str, dict[str, str]]:
    """OpenTelemetry's variables of the API and of each container of the jobs image."""
    manifests = render(values)
    found = {"api": named(manifests, "ConfigMap")["streamflow-api"]["data"]}
    for name, pod in pods(manifests).items():
        for one in containers(pod):
            if "streamflow-jobs" in one["image"] and one.get("env"):
                env = {each["name"]: each.get("value", "") for each in one["env"]}
                found[f"{name}/{one['name']}"] = env
    return {
        name: {key: value for key, value in env.items() if key.startswith("OTEL_")}
        for name, env in found.items()
    }


def test_nobody_makes_spans_unless_asked_to() -> None:
    assert not any(variables({**FULL, "tracing.endpoint": ""}).values())


def test_all_who_work_send_them_to_the_same_place() -> None:
    found = variables(ON)
    expected = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.25",
    }
    jobs = {name: env for name, env in found.items() if name.startswith(("Job/", "CronJob/"))}
    assert len(jobs) > 5
    assert found["api"] == expected
    assert all(env == expected for env in jobs.values()), jobs


@pytest.mark.parametrize("part", ["api", "jobs", "feast"])
@pytest.mark.parametrize("to", [[], [COLLECTOR]])
def test_the_policies_let_them_out(part: str, to: list[Any]) -> None:
    policies = named(render({**ON, "tracing.to": to}), "NetworkPolicy")
    rules = policies[f"streamflow-{part}"]["spec"]["egress"]
    (rule,) = [one for one in rules if one["ports"] == [{"port": 4318}]]
    assert rule.get("to", []) == to


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://collector", "http://"])
def test_another_kind_of_endpoint_is_refused(endpoint: str) -> None:
    assert "tracing.endpoint" in refusal({"tracing.endpoint": endpoint}).replace("/", ".")
