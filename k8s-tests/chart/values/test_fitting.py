"""Values that fit together are rendered, and a person's own stand beside the chart's."""

from typing import Any

import pytest
from chart.values.test_contradictions import MOUNT, RESTORE, SET
from kit.render import EXTERNAL, FULL, named, pods, render, template


def test_what_is_said_twice_in_metadata_is_once_there() -> None:
    values = {
        "metrics.serviceMonitor.labels": {"app.kubernetes.io/version": "7"},
        "metrics.prometheusRule.labels": {"helm.sh/chart": "mine"},
        "metrics.dashboard.labels": {"app.kubernetes.io/version": "7"},
        "jobs.backup.persistence.annotations": {"helm.sh/resource-policy": "delete"},
    }
    text = template({**FULL, **values})
    for one in text.split("\n---\n"):
        for key in ("app.kubernetes.io/version:", "helm.sh/chart:", "helm.sh/resource-policy:"):
            head = one.partition("\nspec:")[0].partition("\ndata:")[0]
            assert head.count(key) <= 1, one[:400]
    manifests = render({**FULL, **values})
    (monitor,) = named(manifests, "ServiceMonitor").values()
    assert monitor["metadata"]["labels"]["app.kubernetes.io/version"] == "7"
    claim = named(manifests, "PersistentVolumeClaim")["streamflow-backups"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "delete"


@pytest.mark.parametrize(
    "values",
    [
        {**RESTORE, "jobs.backup.enabled": False, "jobs.backup.persistence.existingClaim": "mine"},
        {
            **EXTERNAL,
            **RESTORE,
            "jobs.backup.to": "s3://b",
            "networkPolicy.jobs.egress": [{"ports": [{"port": 443}]}],
        },
        {
            **SET,
            "feast.enabled": False,
            "jobs.trainingSet.persistence.accessModes": ["ReadWriteOncePod"],
        },
        {
            **SET,
            "jobs.nodeSelector": {"pool": "a"},
            "feast.nodeSelector": {"pool": "a", "disk": "ssd"},
        },
        {**SET, "jobs.nodeSelector": {"pool": "a"}, "feast.enabled": False},
        {
            **SET,
            "jobs.nodeSelector": {"pool": "a"},
            "jobs.trainingSet.persistence.accessModes": ["ReadWriteMany"],
        },
        {"jobs.nodeSelector": {"pool": "a"}},
        {"prefect.enabled": False, "prefect.database": "streamflow"},
        {"prefect.waitSeconds": 0, "jobs.activeDeadlineSeconds": 301},
        {"metrics.prometheusRule.disabled": ["StreamflowSlow", "StreamflowBackupOld"]},
        {"api.podDisruptionBudget.maxUnavailable": "50%"},
        {"jobs.extraVolumes": [{"name": "mine", "emptyDir": {}}], "jobs.extraVolumeMounts": MOUNT},
        {"api.serviceAccount.create": False, "api.serviceAccount.name": "default"},
        {"api.serviceAccount.name": "x", "jobs.serviceAccount": {"create": False, "name": "x"}},
        {
            "jobs.materialize.backfills": [
                {"start": "2024-01-01 10:00", "end": "2024-01-01T14:00:00.5+02:00", "force": True},
                {"end": "2024-01-01"},
            ]
        },
    ],
    ids=str,
)
def test_what_fits_together_is_rendered(values: dict[str, Any]) -> None:
    render(values)


def test_a_persons_own_affinity_does_not_undo_the_charts() -> None:
    own = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
    terms = "requiredDuringSchedulingIgnoredDuringExecution"
    manifests = render({**SET, "jobs.affinity": {"podAffinity": {terms: [own]}}})
    (job,) = (pod for name, pod in pods(manifests).items() if "training" in name)
    found = job["spec"]["affinity"]["podAffinity"][terms]
    assert own in found
    assert [one["topologyKey"] for one in found if one != own] == ["kubernetes.io/hostname"]
