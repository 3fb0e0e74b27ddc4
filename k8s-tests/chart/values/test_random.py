"""Values at random are rendered to what Kubernetes takes, or are refused by a sentence."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from kit.render import CHART, FULL, GIVEN, KUBERNETES, helm, parsed
from kit.rules.kubernetes_rules import faults, versions
from kit.rules.values_strategies import LEAVES, values

OURS = ("These values cannot work:\n- ", "values don't meet the specifications of the schema")
"""The beginnings of a refusal: the chart's own, and its schema's."""
SEARCH = os.environ.get("STREAMFLOW_RANDOM_VALUES")
"""The number of new random sets to look for, instead of the same ones every time."""
SETS = int(SEARCH or 200)
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
    own = [one for one in parsed(done.stdout) if one not in (chosen.get("extraObjects") or [])]
    # The newest, since an older one has fewer fields for a person's own contexts and containers.
    assert faults(own, versions()[-1]) == []


# Those that fail are shown as they are: to look for smaller ones takes a process of helm for each.
@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=SETS, derandomize=not SEARCH, phases=[Phase.generate], **RELAXED)
@given(values())
def test_values_at_random_are_valid_or_refused(chosen: dict[str, Any]) -> None:
    render_or_refuse(chosen)


@pytest.mark.slow
def test_each_value_may_be_taken_out() -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda path: render_or_refuse({**FULL, path: None}), sorted(LEAVES)))
