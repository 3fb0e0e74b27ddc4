"""Alerts, runbooks and dashboard: each alert fires when it should, each query finds something."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from kit.metrics_api import (
    api,
    ask,
    fill,
    free_port,
    process,
    require,
    sample_names,
    text_of,
    until,
)
from kit.prometheus_queries import ALERTS, QUERIES, RULES, answer_all, samples, states
from kit.render import CHART, FULL, render
from typer.main import get_command

ROOT = CHART.parent.parent
CASES = [Path(__file__).with_name(name) for name in ("rules_test.yaml", "rules_days_test.yaml")]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
METRIC = re.compile(r"\b(?:streamflow|process)_\w+")
SECTIONS = ("**Symptom.**", "**Meaning.**", "**First.**", "**Fix.**")
OBJECT = re.compile(r"\b(deploy|cronjob|statefulset|svc|hpa)[/ ](streamflow-[a-z-]+)")
KINDS = {
    "deploy": "Deployment",
    "cronjob": "CronJob",
    "statefulset": "StatefulSet",
    "svc": "Service",
    "hpa": "HorizontalPodAutoscaler",
}


DRIFT = """
    INSERT INTO ops.drift SELECT table_name, as_of, 'monthly_fee', 'psi', 1.4, 0.2, 'dearer'
    FROM ops.statistics_months WHERE table_name = 'subscriptions_profile_snapshots'"""
"""The row that an ingest writes of a month in which a distribution has changed."""


@pytest.fixture
def url(database: str, small_months: Path) -> Iterator[str]:
    """The API in front of a month that is online, audited and backed up, and has drifted."""
    fill(small_months)
    with psycopg.connect() as connection:
        connection.execute(DRIFT)
    with api() as found:
        yield found


@pytest.fixture
def urls(url: str) -> Iterator[list[str]]:
    """The URLs of that API and of one that reads a replica, for which the primary stands itself."""
    with api(STREAMFLOW_API_READ_HOST=os.environ["PGHOST"]) as replica_reader:
        yield [url, replica_reader]


def test_the_rules_are_right_and_fire_when_they_should() -> None:
    promtool = require("promtool")
    for command in (["check", "rules", "--lint-fatal", RULES], ["test", "rules", *CASES]):
        done = subprocess.run(
            [promtool, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tried_in_both_states() -> None:
    tests = [test for file in CASES for test in yaml.safe_load(file.read_text())["tests"]]
    cases = [one for test in tests for one in alerts_of(test)]
    assert {one["alertname"] for one in cases if one.get("exp_alerts")} == ALERTS.keys()
    assert {one["alertname"] for one in cases if not one.get("exp_alerts")} == ALERTS.keys()


def alerts_of(test: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = test["alert_rule_test"]
    return found


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    pages = {name: ROOT / one["annotations"]["runbook_url"] for name, one in ALERTS.items()}
    assert set(pages.values()) == set(RUNBOOKS)
    for name, page in pages.items():
        assert f"`{name}`" in page.read_text().splitlines()[1], page.name


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_a_page_has_its_parts_and_names_what_there_is(page: Path) -> None:
    text = page.read_text()
    places = [text.index(section) for section in SECTIONS]
    assert places == sorted(places)
    first = text[places[2] : places[3]]
    commands = [line for line in first.splitlines() if line.startswith("$ ")]
    way = ("port-forward", "kill ")
    assert len([one for one in commands if not any(word in one for word in way)]) in (2, 3)
    assert len(commands) >= 3
    there = {(one["kind"], one["metadata"]["name"]) for one in render(FULL)}
    for kind, name in OBJECT.findall(text):
        assert (KINDS[kind], name) in there, name
    for value in re.findall(
        r"`((?:api|jobs|postgres|networkPolicy|metrics)\.[\w.]+)(?:=\w+)?`", text
    ):
        assert known(value), value
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / link).is_file(), link


def known(path: str) -> bool:
    """True if there is such a value, or it lies below a value that takes any keys."""
    node: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    for part in path.split("."):
        if node == {}:
            return True
        if part not in node:
            return False
        node = node[part]
    return True


def test_the_pages_name_commands_that_there_are() -> None:
    from jobs.__main__ import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    for page in RUNBOOKS:
        for name in re.findall(r"-- streamflow ([a-z-]+)", page.read_text()):
            assert name in commands, f"{page.name}: {name}"


def test_every_metric_that_is_asked_for_is_there(urls: list[str]) -> None:
    there = {name for url in urls for name in sample_names(text_of(url))}
    for name, one in ALERTS.items():
        assert set(METRIC.findall(one["expr"])) <= there, name
    for title, query, _ in QUERIES:
        assert set(METRIC.findall(query)) <= there, title


@pytest.mark.slow
def test_a_real_prometheus_takes_the_rules_and_answers_the_dashboard(
    urls: list[str], tmp_path: Path
) -> None:
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": "streamflow-api",
                "static_configs": [
                    {
                        "targets": [url.removeprefix("http://")],
                        "labels": {"namespace": "features", "pod": f"streamflow-api-{at}"},
                    }
                    for at, url in enumerate(urls)
                ],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with process(
        require("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ):
        until(lambda: samples(server, "count_over_time(up[1m]) >= 2") != [], "it scrapes")
        for url in urls:
            ask(url)  # between two scrapes, so that there are rates
        until(lambda: samples(server, "count_over_time(up[1m]) >= 6") != [], "it scrapes on")
        answer_all(server, "features", "streamflow-api")
        found = states(server)
    # A month of 2024 is stale, and nothing is wrong but what was planted.
    assert {name for name, state in found.items() if state != "inactive"} == {
        "StreamflowFeaturesStale",
        "StreamflowMonthDrifted",
    }
    assert found.keys() == ALERTS.keys()
