"""Tests of the chart's objects for Prometheus and Grafana, and of those for the audit."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.render import CHART, EXTERNAL, Manifest, named, notes, refusal, render

OPERATOR = ("ServiceMonitor", "PrometheusRule")
THERE = [f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in OPERATOR]
SWITCHES = ("serviceMonitor", "prometheusRule", "dashboard")
BACKUP = {"StreamflowBackupOld", "StreamflowBackupMissing"}
MATERIALIZE = {"StreamflowMaterializeOverdue", "StreamflowMaterializeMissing"}
AUDIT = {"StreamflowAuditOverdue", "StreamflowAuditMissing"}


def monitoring_kinds(manifests: list[Manifest]) -> set[str]:
    """Returns which of ServiceMonitor, PrometheusRule and dashboard were rendered."""
    kinds = {one["kind"] for one in manifests} & set(OPERATOR)
    return kinds | {"dashboard" for one in named(manifests, "ConfigMap") if "dashboard" in one}


def alerts(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """The alerts by name."""
    (rule,) = named(manifests, "PrometheusRule").values()
    return {one["alert"]: one for group in rule["spec"]["groups"] for one in group["rules"]}


def switched(to: Any) -> dict[str, Any]:
    return {f"metrics.{one}.enabled": to for one in SWITCHES}


def test_nothing_is_made_where_the_cluster_has_not_the_kinds() -> None:
    assert monitoring_kinds(render()) == set()
    assert monitoring_kinds(render(None, *THERE)) == {*OPERATOR, "dashboard"}
    assert monitoring_kinds(render(switched(True))) == {*OPERATOR, "dashboard"}
    assert monitoring_kinds(render(switched(False), *THERE)) == set()
    assert monitoring_kinds(render({"api.enabled": False, **switched(True)}, *THERE)) == set()


def test_the_monitor_selects_the_apis_service_and_its_port() -> None:
    values = {"metrics.serviceMonitor.labels": {"release": "monitoring"}, "api.service.port": 8080}
    manifests = render({**values, **switched(True)}, release="other")
    (monitor,) = named(manifests, "ServiceMonitor").values()
    service = named(manifests, "Service")["other-streamflow-api"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    assert [
        one["metadata"]["name"]
        for one in named(manifests, "Service").values()
        if wanted <= one["metadata"]["labels"].items()
    ] == ["other-streamflow-api"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {one["name"] for one in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert monitor["metadata"]["labels"]["release"] == "monitoring"
    assert "jobLabel" not in monitor["spec"]


def test_the_alerts_are_those_of_the_file_for_this_release() -> None:
    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    names = {one["alert"] for group in rules["groups"] for one in group["rules"]}
    found = alerts(render(None, *THERE, "--namespace=features", release="other"))
    assert found.keys() == names
    for one in found.values():
        assert 'namespace="features"' in one["expr"]
        assert '="streamflow-api"' not in one["expr"]
        assert '="streamflow-.+"' not in one["expr"]
        assert one["labels"]["severity"] in ("warning", "critical")
        assert one["for"]
    assert 'job="other-streamflow-api",namespace="features"' in found["StreamflowSkew"]["expr"]
    assert 'job_name=~"other-streamflow-.+"' in found["StreamflowJobNotStarted"]["expr"]
    assert "{{ $labels.view }}" in found["StreamflowFeaturesStale"]["annotations"]["summary"]


def test_alerts_are_routed_left_out_and_lead_to_their_pages() -> None:
    base = "https://git.example.com/streamflow/docs/runbooks"
    values = {
        "metrics.prometheusRule.alertLabels": {"team": "features", "tier": 1},
        "metrics.prometheusRule.runbookBaseUrl": f"{base}/",
        "metrics.prometheusRule.disabled": ["StreamflowSlow"],
    }
    every, found = alerts(render(None, *THERE)), alerts(render(values, *THERE))
    assert every.keys() - found.keys() == {"StreamflowSlow"}
    for name, one in found.items():
        assert one["labels"] == {**every[name]["labels"], "team": "features", "tier": "1"}
        before, after = (two["annotations"]["runbook_url"] for two in (every[name], one))
        assert before.startswith("docs/runbooks/")
        assert after == before.replace("docs/runbooks", base)


def test_a_severity_of_ones_own_replaces_the_charts() -> None:
    found = alerts(render({"metrics.prometheusRule.alertLabels.severity": "page"}, *THERE))
    assert {one["labels"]["severity"] for one in found.values()} == {"page"}


@pytest.mark.parametrize("threshold", [0, 0.01, "2.5e-2"])
def test_skew_is_what_the_audit_does_not_let_through(threshold: Any) -> None:
    found = alerts(render({"jobs.audit.threshold": threshold}, *THERE))
    for name in ("StreamflowSkew", "StreamflowJobFailed", "StreamflowAuditOverdue"):
        (limit,) = re.findall(r"streamflow_skew_share.*> ([0-9.e-]+)", found[name]["expr"])
        assert float(limit) == float(threshold), name


@pytest.mark.parametrize(
    ("values", "gone"),
    [
        ({"jobs.backup.enabled": False}, BACKUP),
        (EXTERNAL, BACKUP),
        ({"jobs.materialize.enabled": False}, MATERIALIZE),
        ({"jobs.audit.enabled": False}, AUDIT),
    ],
    ids=["backup", "external", "materialize", "audit"],
)
def test_what_is_off_has_no_alert(values: dict[str, Any], gone: set[str]) -> None:
    every, found = alerts(render(None, *THERE)), alerts(render(values, *THERE))
    assert every.keys() - found.keys() == gone


def dashboard(values: dict[str, Any], *options: str, **where: Any) -> tuple[str, dict[str, Any]]:
    """The name of the file that Grafana's sidecar makes, and what is in it."""
    found = render({**switched(True), **values}, *options, **where)
    (data,) = (one["data"] for name, one in named(found, "ConfigMap").items() if "dashb" in name)
    ((file, text),) = data.items()
    return file, json.loads(text)


def test_the_dashboard_has_the_panels_of_the_file() -> None:
    file = json.loads((CHART / "files" / "dashboard.json").read_text())
    _, found = dashboard({})
    assert found["panels"] == file["panels"]
    config = named(render(switched(True)), "ConfigMap")["streamflow-api-dashboard"]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.slow
def test_releases_beside_each_other_have_dashboards_of_their_own() -> None:
    releases = [("a", "b-c"), ("a-b", "c"), ("a", "streamflow"), ("b", "streamflow")]
    boards = [
        dashboard({}, f"--namespace={namespace}", release=release)
        for namespace, release in releases
    ]
    boards += [dashboard({"fullnameOverride": name}) for name in ("one", "n" * 40)]
    for told in (
        [file for file, _ in boards],
        [found["uid"] for _, found in boards],
        [found["title"] for _, found in boards],
    ):
        assert len(set(told)) == len(boards)
    for file, found in boards:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", found["uid"])
        assert re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", file)
    assert boards == [
        *(dashboard({}, f"--namespace={one}", release=two) for one, two in releases),
        *boards[-2:],
    ]  # the same at every upgrade


def test_a_dashboard_opens_at_its_release() -> None:
    _, found = dashboard({}, "--namespace=features", release="other")
    shown = {one["name"]: one.get("current", {}) for one in found["templating"]["list"]}
    assert shown["namespace"]["value"] == "features"
    assert shown["job"]["value"] == "other-streamflow-api"


def test_a_rate_is_over_several_scrapes_however_seldom_these_are() -> None:
    _, found = dashboard({"metrics.serviceMonitor.interval": "2m"})
    rated = [
        target
        for panel in found["panels"]
        for target in panel["targets"]
        if "$__rate_interval" in target["expr"]
    ]
    assert rated
    assert {one.get("interval") for one in rated} == {"2m"}


def test_prometheus_is_let_in_by_name_and_the_notes_say_if_it_is_not(tmp_path: Path) -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "m"}}}
    values = {"networkPolicy.metrics.from": [monitoring]}
    policy = named(render(values), "NetworkPolicy")["streamflow-api"]["spec"]
    (rule,) = policy["ingress"]
    assert monitoring in rule["from"]
    assert rule["ports"] == [{"port": 8000}]
    warning = "networkPolicy.metrics.from"
    assert warning in notes(tmp_path, switched(True))
    assert warning not in notes(tmp_path, {**values, **switched(True)})
    assert warning not in notes(tmp_path)


def test_the_audit_runs_every_day_as_its_values_say() -> None:
    cron = named(render(), "CronJob")["streamflow-audit"]["spec"]
    assert (cron["schedule"], cron["concurrencyPolicy"]) == ("0 5 * * *", "Forbid")
    (container,) = cron["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [*("audit", "--users", "200", "--threshold", "0")]
    values = {"jobs.audit.users": 2000000, "jobs.audit.service": "profile_v1"}
    cron = named(render({**values, "jobs.audit.threshold": 0.01}), "CronJob")["streamflow-audit"]
    (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][1:] == [
        *("--users", "2000000", "--threshold", "0.01", "--service", "profile_v1")
    ]
    assert "streamflow-audit" not in named(render({"jobs.audit.enabled": False}), "CronJob")
    assert "threshold" in refusal({"jobs.audit.threshold": 2})
