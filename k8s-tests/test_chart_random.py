"""Values at random are rendered to what Kubernetes takes, or refused by a sentence; nothing else."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from kubernetes_rules import faults, versions
from render import CHART, GIVEN, KUBERNETES, helm, parsed
from values_strategies import values

OURS = ("These values cannot work:\n- ", "values don't meet the specifications of the schema")
"""How a refusal begins: the chart's own, and that of its schema."""
RELAXED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}


def render_or_refuse(chosen: dict[str, Any]) -> None:
    """Fails unless these values are rendered and valid, or refused with a reason."""
    command = ("template", "streamflow", CHART, "--kube-version", KUBERNETES)
    done = helm(*command, values={**GIVEN, **chosen})
    if done.returncode:
        assert any(one in done.stderr for one in OURS), done.stderr
        return
    found = parsed(done.stdout)
    assert [
        fault for version in (versions()[0], versions()[-1]) for fault in faults(found, version)
    ] == []


@settings(max_examples=40, derandomize=True, **RELAXED)
@given(values())
def test_values_at_random_are_valid_or_refused(chosen: dict[str, Any]) -> None:
    render_or_refuse(chosen)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=1500, **RELAXED)
@given(values())
def test_many_values_at_random_are_valid_or_refused(chosen: dict[str, Any]) -> None:
    render_or_refuse(chosen)
