"""Values that are possible alone and not together are refused before anything is made."""

from typing import Any

import pytest
from kit.render import CHART, EXTERNAL, KUBERNETES, helm, refusal, render

RESTORE = {
    "jobs.restore.backup": "streamflow-20260201T020000Z",
    "jobs.restore.request": "2026-02-02 volume lost",
}
SET = {"jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}]}
PARTS = ["api", "explorer", "jobs", "feast", "prefect", "postgres"]
MOUNT = [{"name": "mine", "mountPath": "/mine"}]

CONTRADICTIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    # Claims that nobody makes, or that two pods cannot have.
    (
        "restore without backups",
        {**RESTORE, "jobs.backup.enabled": False},
        ["jobs.restore.backup", "streamflow-backups", "set jobs.backup.persistence.existingClaim"],
    ),
    (
        "restore into an external server",
        {**EXTERNAL, **RESTORE},
        ["jobs.restore.backup", "set jobs.backup.persistence.existingClaim", "jobs.backup.to"],
    ),
    (
        "one pod for the training sets",
        {**SET, "jobs.trainingSet.persistence.accessModes": ["ReadWriteOncePod"]},
        ["ReadWriteOncePod", "feast.enabled", "ReadWriteOnce"],
    ),
    (
        "one pod among others",
        {"jobs.backup.persistence.accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
        ["jobs.backup.persistence.accessModes", "alone"],
    ),
    # Nodes that cannot be the same.
    (
        "nodes of the jobs",
        {**SET, "jobs.nodeSelector": {"pool": "jobs"}},
        ["jobs.nodeSelector", "feast.nodeSelector", "ReadWriteMany"],
    ),
    (
        "other nodes of the jobs",
        {**SET, "jobs.nodeSelector": {"pool": "jobs"}, "feast.nodeSelector": {"pool": "ui"}},
        ["jobs.nodeSelector", "feast.nodeSelector"],
    ),
    (
        "taints that the jobs do not tolerate",
        {**SET, "feast.tolerations": [{"key": "ui", "operator": "Exists"}]},
        ["feast.tolerations", "jobs.tolerations"],
    ),
    # Times.
    (
        "a deadline before the waiting ends",
        {"jobs.activeDeadlineSeconds": 360},
        ["activeDeadlineSeconds", "jobs.waitSeconds", "prefect.waitSeconds", "361"],
    ),
    (
        "a scrape that outlasts the next",
        {"metrics.serviceMonitor.enabled": True, "metrics.serviceMonitor.scrapeTimeout": "45s"},
        ["scrapeTimeout", "interval"],
    ),
    (
        "a backfill that ends before it starts",
        {"jobs.materialize.backfills": [{"start": "2024-02-01", "end": "2024-01-31T23:59:59Z"}]},
        ["jobs.materialize.backfills[0]", "ends before it starts"],
    ),
    (
        "a backfill that ends as it starts",
        {
            "jobs.materialize.backfills": [
                {"start": "2024-02-01", "end": "2024-02-01T01:00:00+01:00"}
            ]
        },
        ["jobs.materialize.backfills[0]", "ends before it starts"],
    ),
    (
        "a backfill of no day",
        {"jobs.materialize.backfills": [{"start": "2024-02-30"}]},
        ["jobs.materialize.backfills[0]", "2024-02-30"],
    ),
    # Two of one name.
    (
        "two backfills",
        {
            "jobs.materialize.backfills": [
                {"start": "2024-01-01"},
                {"start": "2024-01-01", "force": False, "views": []},
            ]
        },
        ["jobs.materialize.backfills[1] is there twice"],
    ),
    (
        "two accounts",
        {"api.serviceAccount.name": "x", "jobs.serviceAccount.name": "x"},
        ["serviceAccount.name", "create=false"],
    ),
    (
        "an account that is there in every namespace",
        {"api.serviceAccount.name": "default"},
        ["api.serviceAccount", "create=false"],
    ),
    (
        "two variables",
        {"jobs.extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        ["jobs.extraEnv", "A is there twice"],
    ),
    (
        "two volumes",
        {"feast.extraVolumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
        ["feast.extraVolumes", "a is there twice"],
    ),
    (
        "a volume of the chart",
        {"postgres.extraVolumes": [{"name": "data", "emptyDir": {}}]},
        ["postgres.extraVolumes", "data", "another name"],
    ),
    (
        "a mount without a volume",
        {"jobs.extraVolumeMounts": MOUNT},
        ["jobs.extraVolumeMounts", "mine", "jobs.extraVolumes"],
    ),
    (
        "a mount over the chart's",
        {
            "api.extraVolumes": [{"name": "mine", "emptyDir": {}}],
            "api.extraVolumeMounts": [{"name": "mine", "mountPath": "/tmp"}],
        },
        ["api.extraVolumeMounts", "/tmp"],
    ),
    (
        "one path twice",
        {
            "api.extraVolumes": [{"name": "mine", "emptyDir": {}}],
            "api.extraVolumeMounts": MOUNT * 2,
        },
        ["api.extraVolumeMounts", "/mine is there twice"],
    ),
    (
        "a variable from two places",
        {
            "api.extraEnv": [
                {
                    "name": "A",
                    "value": "1",
                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                }
            ]
        },
        ["api", "A"],
    ),
    # Databases.
    (
        "Prefect's in the features'",
        {"prefect.database": "streamflow"},
        ["prefect.database", "postgres.auth.database"],
    ),
    (
        "a template of PostgreSQL",
        {"prefect.database": "template1"},
        ["prefect.database", "template1"],
    ),
    (
        "the features' in a template",
        {"postgres.auth.database": "template0"},
        ["postgres.auth.database", "template0"],
    ),
    (
        "another port of the server",
        {"postgres.parameters.port": 5433},
        ["postgres.parameters.port"],
    ),
    (
        "another place of the data",
        {"postgres.parameters.data_directory": "/x"},
        ["postgres.parameters.data_directory"],
    ),
    # Probes, budgets, hosts.
    (
        "a liveness that takes two",
        {"api.livenessProbe.successThreshold": 2},
        ["api.livenessProbe.successThreshold", "1"],
    ),
    (
        "a start that takes two",
        {"api.startupProbe.successThreshold": 2},
        ["api.startupProbe.successThreshold", "1"],
    ),
    (
        "more than all pods",
        {"api.podDisruptionBudget.maxUnavailable": "150%"},
        ["maxUnavailable", "100%"],
    ),
    (
        "a path with two dots",
        {
            "api.ingress.enabled": True,
            "api.ingress.hosts": ["a.b"],
            "networkPolicy.api.from": [{"podSelector": {}}],
            "api.ingress.path": "/a/../b",
        },
        ["api.ingress.path"],
    ),
    (
        "an address as a host",
        {
            "api.ingress.enabled": True,
            "api.ingress.hosts": ["10.0.0.1"],
            "networkPolicy.api.from": [{"podSelector": {}}],
        },
        ["api.ingress.hosts", "10.0.0.1"],
    ),
    (
        "a network that there is not",
        {**EXTERNAL, "networkPolicy.postgres.cidr": "10.1.2.300/32"},
        ["networkPolicy.postgres.cidr"],
    ),
    (
        "a prefix that there is not",
        {**EXTERNAL, "networkPolicy.postgres.cidr": "10.1.2.3/33"},
        ["networkPolicy.postgres.cidr"],
    ),
    (
        "a label that is a number",
        {"networkPolicy.api.from": [{"podSelector": {"matchLabels": {"a": 1}}}]},
        ["networkPolicy.api.from.0.podSelector.matchLabels.a", "want string"],
    ),
    (
        "a character that YAML has not",
        {"feast.podAnnotations": {"a": "\x8d"}},
        ["feast.podAnnotations.a", r"\u008d", "control character"],
    ),
    (
        "such a character within a list",
        {"api.extraEnv": [{"name": "A", "value": "a\x7f"}]},
        ["api.extraEnv[0].value", r"\x7f"],
    ),
    (
        "an unknown alert",
        {"metrics.prometheusRule.disabled": ["StreamflowSlowly"]},
        ["StreamflowSlowly", "StreamflowSlow,"],
    ),
    (
        "an alert by another name",
        {"metrics.prometheusRule.alertLabels.alertname": "x"},
        ["alertLabels", "alertname"],
    ),
]


@pytest.mark.parametrize(
    ("values", "said"), [one[1:] for one in CONTRADICTIONS], ids=[one[0] for one in CONTRADICTIONS]
)
def test_a_contradiction_is_refused_with_its_mend(values: dict[str, Any], said: list[str]) -> None:
    answer = refusal(values)
    assert (
        "These values cannot work:\n- " in answer
        or "values don't meet the specifications" in answer
    )
    for one in said:
        assert one in answer.replace("'/", "").replace("/", ".") or one in answer, answer


@pytest.mark.parametrize("release", ["my.app", "1st", "a.b", "9"])
def test_a_release_whose_names_no_service_may_have_is_refused(release: str) -> None:
    done = helm("template", release, CHART, "--kube-version", KUBERNETES)
    assert done.returncode != 0
    assert f"release {release}" in done.stderr
    assert "fullnameOverride" in done.stderr
    assert render({"fullnameOverride": "mine"}, release=release)


RESERVED = [
    *(f"app.kubernetes.io/{one}" for one in ("name", "instance", "component")),
    *("pod-template-hash", "controller-revision-hash", "job-name", "batch.kubernetes.io/job-name"),
]


def test_a_pods_label_that_selects_it_is_refused() -> None:
    labels = dict.fromkeys(RESERVED, "x")
    said = refusal({f"{part}.podLabels": labels for part in PARTS})
    for part in PARTS:
        for label in RESERVED:
            assert f"{part}.podLabels has {label}" in said
