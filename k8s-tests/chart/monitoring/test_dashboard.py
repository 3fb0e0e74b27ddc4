"""The dashboard where there is little to show: an idle API, one that was never asked, none."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.metrics_api import require
from kit.prometheus_queries import DASHBOARD, QUERIES

OF_RELEASE = 'namespace="features",job="streamflow-api"'
ASKED = f'{OF_RELEASE},route="/features/{{user_id}}"'
READY = {f"streamflow_api_ready{{{OF_RELEASE}}}": "1x60"}
IDLE = {
    **READY,
    f'streamflow_api_requests_total{{{ASKED},status="200"}}': "5x60",
    f'streamflow_api_requests_total{{{ASKED},status="503"}}': "1x60",
    **{
        f'streamflow_api_request_duration_seconds_bucket{{{ASKED},le="{le}"}}': "6x60"
        for le in ("0.005", "0.01", "+Inf")
    },
    f"streamflow_api_cache_hits_total{{{OF_RELEASE}}}": "3x60",
    f"streamflow_api_cache_misses_total{{{OF_RELEASE}}}": "3x60",
    f'streamflow_api_users_read_total{{{OF_RELEASE},result="found"}}': "3x60",
}
"""Counters that nothing has been added to for half an hour."""


def concrete(query: str) -> str:
    """A query of the dashboard as Grafana asks it."""
    filled = {"$namespace": "features", "$job": "streamflow-api", "$__rate_interval": "2m"}
    for name, value in filled.items():
        query = query.replace(name, value)
    return query


def wrong_answers(
    folder: Path, series: dict[str, str], expected: dict[str, list[dict[str, Any]]]
) -> str:
    """Returns promtool's complaints about queries whose answers after 20 minutes differ."""
    cases = [
        {"expr": query, "eval_time": "20m", "exp_samples": samples}
        for query, samples in expected.items()
    ]
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "30s", "input_series": given, "promql_expr_test": cases}
    file = folder / "dashboard_test.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    done = subprocess.run(
        [require("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("series", [IDLE, READY, {}], ids=["idle", "never asked", "not scraped"])
def test_no_panel_shows_nan(tmp_path: Path, series: dict[str, str]) -> None:
    asked = [concrete(query) for _, query, _ in QUERIES]
    nan = {f"({query}) != ({query})": [] for query in asked}  # NaN alone differs from itself
    assert wrong_answers(tmp_path, series, nan) == ""


@pytest.mark.parametrize(
    ("series", "share"),
    [(IDLE, [{"labels": "{}", "value": 0}]), (READY, [{"labels": "{}", "value": 0}]), ({}, [])],
    ids=["idle", "never asked", "not scraped"],
)
def test_no_request_is_no_error_and_no_pod_is_no_answer(
    tmp_path: Path, series: dict[str, str], share: list[dict[str, Any]]
) -> None:
    (query,) = (query for title, query, _ in QUERIES if title == "Errors")
    assert wrong_answers(tmp_path, series, {concrete(query): share}) == ""


def test_a_panel_without_an_answer_says_what_that_means() -> None:
    said = {
        panel["title"]: panel["fieldConfig"]["defaults"].get("noValue", "")
        for panel in DASHBOARD["panels"]
    }
    assert [title for title, text in said.items() if not text] == []
