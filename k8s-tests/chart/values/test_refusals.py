"""Tests of values that the chart refuses to render, each with its mend in the message."""

from typing import Any

import pytest
from kit.render import EXTERNAL, refusal, render

MONTH = {"asOf": "2024-01-31", "source": "sample", "month": "month_000"}
VERIFY = {**EXTERNAL, "postgres.external.sslmode": "verify-full"}

IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"postgres.parameters.max_connections": 100}, "may open 138; set it to 138 or more"),
    ({"api.autoscaling.maxReplicas": 40}, "lower api.autoscaling.maxReplicas (40)"),
    ({"api.poolSize": 40}, "or api.poolSize (40)"),
    ({"api.resources.requests.cpu": None}, "set it, e.g. to 250m"),
    (
        {"api.autoscaling.minReplicas": 11},
        "minReplicas (11) is above api.autoscaling.maxReplicas (10)",
    ),
    ({"api.podDisruptionBudget.maxUnavailable": 0}, "set it to 1 or more"),
    ({"api.podDisruptionBudget.maxUnavailable": "0%"}, "set it to 1 or more"),
    (
        {"api.terminationGracePeriodSeconds": 15},
        "above api.preStopSeconds + api.deadlineSeconds (15)",
    ),
    (
        {"api.settings": {"DEADLINE_S": 9}},
        "api.settings.DEADLINE_S has a value of its own: set api.deadlineSeconds",
    ),
    ({"api.ingress.enabled": True}, "set api.ingress.hosts"),
    (
        {"jobs.ingest.months": [{"source": "url", "url": "s3://m"}]},
        "months[0] has no asOf; give the day",
    ),
    ({"jobs.ingest.months": [MONTH, MONTH]}, "another month with asOf 2024-01-31; remove one"),
    (
        {"jobs.ingest.months": [{**MONTH, "asOf": "2024-02-31"}]},
        "2024-02-31 is no day of the calendar",
    ),
    ({"jobs.ingest.months": [{**MONTH, "source": "pvc"}]}, "set jobs.ingest.pvc.claimName"),
    ({"jobs.ingest.months": [{"asOf": "2024-01-31", "source": "sample"}]}, "e.g. month: month_000"),
    ({"jobs.ingest.months": [{"asOf": "2024-01-31", "source": "url"}]}, "e.g. url: s3://bucket"),
    ({"jobs.trainingSet.datasets": [{"service": "a"}]}, "datasets[0] has no asOf; give the day"),
    (
        {"jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}] * 2},
        "by another entry as well; remove",
    ),
    (
        {"jobs.restore.backup": "latest"},
        "remove jobs.restore.backup and .overwrite; to ask for a restore, name it in",
    ),
    (
        {"jobs.restore.request": "2026-11-28 volume lost"},
        "set jobs.restore.backup to its name or to latest, or remove jobs.restore.request",
    ),
    ({"jobs.materialize.backfills": [{"force": True}] * 2}, "backfills[1] is there twice; remove"),
    ({**EXTERNAL, "postgres.external.host": ""}, "set postgres.external.host"),
    ({**EXTERNAL, "postgres.auth.existingSecret": ""}, "set postgres.auth.existingSecret"),
    (VERIFY, "set postgres.external.ca.secret or .configMap, or .path"),
    (
        {**VERIFY, "postgres.external.ca.secret": "a", "postgres.external.ca.configMap": "b"},
        "remove one of the two",
    ),
    ({"prefect.enabled": False, "prefect.apiUrl": "http://p/api"}, "or remove prefect.apiUrl"),
    (
        {"api.ingress.enabled": True, "api.ingress.hosts": ["features.example.com"]},
        "api.ingress is on, but the API's NetworkPolicy lets nobody in from outside",
    ),
    ({"api.service.type": "LoadBalancer"}, "api.service.type is LoadBalancer, but the API's"),
    (
        {"jobs.ingest.months": [{"asOf": "2024-01-31", "source": "url", "url": "s3://months"}]},
        "s3://months is behind a URL, but the jobs' NetworkPolicy lets them out nowhere",
    ),
    (
        {"jobs.trainingSet.datasets": [{"asOf": "2024-01-31", "out": "s3://sets/a.parquet"}]},
        "s3://sets/a.parquet is behind a URL",
    ),
    ({"jobs.backup.to": "s3://backups"}, "s3://backups is behind a URL"),
    (
        {
            **EXTERNAL,
            "jobs.restore.backup": "latest",
            "jobs.restore.request": "move",
            "jobs.backup.to": "s3://backups",
        },
        "set networkPolicy.jobs.egress to where that is",
    ),
]

MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"api.replicas": 3}, "'/api': additional properties 'replicas' not allowed"),
    ({"postgress": {}}, "additional properties 'postgress' not allowed"),
    ({"api.replicaCount": "three"}, "'/api/replicaCount': got string, want integer"),
    ({"api.enabled": "yes"}, "'/api/enabled': got string, want boolean"),
    ({"api.service.port": 70000}, "'/api/service/port': maximum: got 70,000, want 65,535"),
    ({"api.resources.limit.memory": "1Gi"}, "additional properties 'limit' not allowed"),
    ({"api.settings": {"max_users": 9}}, "'/api/settings': additional properties 'max_users'"),
    ({"image.pullPolicy": "Sometimes"}, "one of 'Always', 'IfNotPresent', 'Never'"),
    ({"jobs.image.digest": "sha256:12"}, "does not match pattern '^(sha256:[0-9a-f]{64})?$'"),
    (
        {"jobs.ingest.months": [{"asOf": "31.1.2024", "source": "url"}]},
        "'31.1.2024' does not match",
    ),
    ({"jobs.ingest.months": [{**MONTH, "source": "ftp"}]}, "one of 'sample', 'pvc', 'url'"),
    ({"jobs.ingest.months": [{**MONTH, "as_of": "2024-01-31"}]}, "properties 'as_of' not allowed"),
    ({"jobs.trainingSet.datasets": [{"out": "/tmp/a"}]}, "'/tmp/a' does not match pattern"),
    ({"postgres.auth.password": "secret"}, "'/postgres/auth': additional properties 'password'"),
    ({"postgres.external.sslmode": "on"}, "'verify-full'"),
    ({"jobs.backup.enabled": "yes"}, "one of 'auto', true, false"),
    ({"jobs.backup.to": "/backups"}, "'/backups' does not match pattern"),
    ({"jobs.restore.backup": "yesterday"}, "'yesterday' does not match pattern"),
    ({"jobs.restore.request": "$(PGPASSWORD)"}, "'$(PGPASSWORD)' does not match pattern"),
    ({"jobs.restore.request": "two\nlines"}, "does not match pattern"),
    ({"networkPolicy.postgres.cidr": "10.0.0.1"}, "'10.0.0.1' does not match pattern"),
    ({"api.startupProbe": None}, "missing property 'startupProbe'"),
]


@pytest.mark.parametrize(("values", "mend"), IMPOSSIBLE, ids=[mend for _, mend in IMPOSSIBLE])
def test_impossible_values_are_refused_with_the_mend(values: dict[str, Any], mend: str) -> None:
    said = refusal(values)
    assert "These values cannot work:\n- " in said
    assert mend in said


@pytest.mark.parametrize(("values", "said"), MALFORMED, ids=[said for _, said in MALFORMED])
def test_malformed_values_are_refused_by_the_schema(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)


def test_all_that_is_impossible_is_said_at_once() -> None:
    said = refusal({"api.poolSize": 40, "jobs.ingest.months": [{"source": "url", "url": "s3://m"}]})
    assert said.count("\n- ") == 3


def test_what_is_switched_off_cannot_be_wrong() -> None:
    render({"api.enabled": False, "api.poolSize": 1000, "api.ingress.enabled": True})
    render({"api.autoscaling.enabled": False, "api.resources.requests.cpu": None})
    render({**EXTERNAL, "jobs.backup.to": "s3://backups"})
    url = {"asOf": "2024-01-31", "source": "url", "url": "s3://months"}
    render({"networkPolicy.enabled": False, "jobs.ingest.months": [url]})
    render({"jobs.ingest.months": [{**url, "url": "file:///data"}]})


def test_an_external_server_has_its_own_limit_of_connections() -> None:
    render({**EXTERNAL, "postgres.parameters.max_connections": 10})
