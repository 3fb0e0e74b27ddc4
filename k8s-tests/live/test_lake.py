"""A release with a lake on a volume: months go there, and training sets come from there."""

import json
from typing import Any

from kit.namespace import Namespace

CLAIM = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "lake"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
)
VOLUME = [{"name": "lake", "persistentVolumeClaim": {"claimName": "lake"}}]
MOUNT = [{"name": "lake", "mountPath": "/lake"}]
DAYS = ["2024-01-31", "2024-02-29"]


def install(namespace: Namespace) -> None:
    """Installs two months and a training set of each, read from the lake."""
    months = [
        {"asOf": day, "source": "sample", "month": f"month_{number:03}"}
        for number, day in enumerate(DAYS)
    ]
    sets = [{"asOf": day, "from": "lake"} for day in DAYS]
    values: dict[str, Any] = {
        "jobs.ingest.months": months,
        "jobs.trainingSet.datasets": sets,
        "jobs.extraVolumes": VOLUME,
        "jobs.extraVolumeMounts": MOUNT,
        # The training sets' volume is where this pod is, and has to be where the lake's is.
        "feast.extraVolumes": VOLUME,
        "feast.extraVolumeMounts": MOUNT,
    }
    namespace.install(
        *("--set", "prefect.enabled=false", "--set", "jobs.lake.url=file:///lake"),
        *(
            part
            for name, one in values.items()
            for part in ("--set-json", name + "=" + json.dumps(one))
        ),
    )


def test_months_and_training_sets_go_by_the_lake(namespace: Namespace) -> None:
    namespace.kubectl("apply", "--filename", "-", stdin=CLAIM)
    install(namespace)
    logs = {
        kind: "".join(
            namespace.kubectl("logs", f"job/{name}")
            for name in namespace.jobs()
            if f"-{kind}-" in name
        )
        for kind in ("ingest", "training-set")
    }
    stored = [line for line in logs["ingest"].splitlines() if "month stored table=" in line]
    assert len(stored) == 5 * len(DAYS)
    lines = [json.loads(one) for one in logs["ingest"].splitlines() if one.startswith("{")]
    exported = [one for one in lines if one["command"] == "snapshot-export"]
    assert [(one["outcome"], one["rows"]["written"]) for one in exported] == [("done", 35_215)] * 2
    built = [json.loads(one) for one in logs["training-set"].splitlines() if one.startswith("{")]
    assert {one["rows"]["written"] for one in built if one["command"] == "training-set"} >= {7_043}
    # Made again by the database alone.
    for day in DAYS:
        said = namespace.kubectl(
            *("exec", "deploy/streamflow-feast", "--"),
            *("streamflow", "verify", f"/training/churn_v1_{day}.parquet"),
        )
        assert "7,043 rows, equal to the database" in said
