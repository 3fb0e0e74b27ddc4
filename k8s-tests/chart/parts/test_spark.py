"""Materializations from the lake: by DuckDB in the Job, or by Spark's executors beside it."""

from typing import Any

import pytest
from kit.render import LAKE, SPARK, Manifest, named, notes, pods, refusal, render

OWN_TAG = {"jobs.image.tag": "2", "jobs.spark.image.tag": "3"}
ANY_POD: dict[str, Any] = {"podSelector": {}}


def of_jobs(values: dict[str, Any]) -> dict[str, Manifest]:
    """The pods that materialize: `cronjob` and `backfill`."""
    found = pods(render(values))
    return {
        "cronjob": found["CronJob/streamflow-materialize"],
        "backfill": next(pod for name, pod in found.items() if "-backfill-" in name),
    }


def variables(container: Manifest) -> dict[str, Any]:
    """The variables of a container, each with its value or where that is from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def test_without_spark_the_job_itself_reads_the_lake() -> None:
    for name, pod in of_jobs(LAKE).items():
        (container,) = pod["spec"]["containers"]
        assert container["image"].startswith("streamflow-jobs:")
        assert container["args"][-3 if name == "backfill" else -2 :][:2] == ["--from", "lake"]
        assert variables(container)["STREAMFLOW_LAKE_URL"] == "s3://bucket/lake"
        assert {"secretRef": {"name": "lake"}} in container["envFrom"]
        assert pod["spec"]["automountServiceAccountToken"] is False
    assert not [one for one in render(LAKE) if one["metadata"]["name"].endswith("-spark")]


def test_of_the_backfills_those_from_the_lake_say_so() -> None:
    (container,) = of_jobs(LAKE)["backfill"]["spec"]["containers"]
    commands = " ".join(container["args"]).split(" --then ")
    assert ["--from lake" in one for one in commands] == [False, True]


def test_by_spark_the_pods_are_drivers_and_no_other_has_a_token() -> None:
    manifests = render({**SPARK, "prefect.deployments.enabled": True})
    with_token = {
        name.rpartition("-")[0] if "backfill" in name else name: pod
        for name, pod in pods(manifests).items()
        if pod["spec"]["automountServiceAccountToken"]
    }
    assert set(with_token) == {"CronJob/streamflow-materialize", "Job/streamflow-backfill"}
    for pod in with_token.values():
        assert pod["spec"]["serviceAccountName"] == "streamflow-spark"
        assert pod["metadata"]["labels"]["streamflow/spark"] == "driver"
        (container,) = pod["spec"]["containers"]
        assert container["image"] == "streamflow-jobs-spark:0.1.0"
        found = variables(container)
        assert found["STREAMFLOW_SPARK_CONNECTIONS"] == "2"
        names = [one["name"] for one in container["env"]]
        submit = names.index("PYSPARK_SUBMIT_ARGS")
        for known in ("STREAMFLOW_POD", "STREAMFLOW_POD_IP"):  # the kubelet reads what is before
            assert f"$({known})" in found["PYSPARK_SUBMIT_ARGS"]
            assert names.index(known) < submit
    (rule,) = named(manifests, "Role")["streamflow-spark"]["rules"]
    assert rule["resources"] == ["pods"]
    (subject,) = named(manifests, "RoleBinding")["streamflow-spark"]["subjects"]
    assert subject["name"] in named(manifests, "ServiceAccount")


def test_the_image_has_the_tag_of_the_jobs_unless_it_has_its_own() -> None:
    for given, tag in (({}, "0.1.0"), ({"jobs.image.tag": "2"}, "2"), (OWN_TAG, "3")):
        for pod in of_jobs({**SPARK, **given}).values():
            assert pod["spec"]["containers"][0]["image"] == f"streamflow-jobs-spark:{tag}"


def files(values: dict[str, Any]) -> dict[str, str]:
    """The files of Spark's settings."""
    found: dict[str, str] = named(render(values), "ConfigMap")["streamflow-spark"]["data"]
    return found


def test_the_template_of_executors_has_what_they_need_and_no_secret_by_value() -> None:
    given = {
        "jobs.nodeSelector": {"disk": "fast"},
        "jobs.extraVolumes": [{"name": "lake", "emptyDir": {}}],
        "jobs.extraVolumeMounts": [{"name": "lake", "mountPath": "/lake"}],
        "jobs.sidecars": [{"name": "proxy", "image": "proxy"}],
    }
    pod = pods(render({**SPARK, **given}))["Executor/streamflow-spark"]
    (container,) = pod["spec"]["containers"]
    (sidecar,) = pod["spec"]["initContainers"]
    found = variables(container)
    assert found["PGPASSWORD"]["secretKeyRef"]["name"] == "known-writer"
    assert found["PGHOST"] == "streamflow-postgres"
    assert container["envFrom"] == [{"secretRef": {"name": "lake"}}]
    assert {"name": "lake", "mountPath": "/lake"} in container["volumeMounts"]
    assert {"name": "lake", "emptyDir": {}} in pod["spec"]["volumes"]
    assert sidecar["restartPolicy"] == "Always"
    assert pod["spec"]["nodeSelector"] == {"disk": "fast"}
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["serviceAccountName"] == "streamflow-jobs"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"] == {"ephemeral-storage": "4Gi"}


@pytest.mark.parametrize(
    ("memory", "heap", "rest"), [("2Gi", "1024m", "1024m"), ("3G", "1430m", "1431m")]
)
def test_memory_is_half_of_java_and_half_of_python(memory: str, heap: str, rest: str) -> None:
    conf = dict(
        line.split(" ", 1)
        for line in files({**SPARK, "jobs.spark.memory": memory})[
            "spark-defaults.conf"
        ].splitlines()
    )
    assert (conf["spark.executor.memory"], conf["spark.executor.memoryOverhead"]) == (heap, rest)


def test_further_settings_are_there_as_java_reads_them_and_make_another_job() -> None:
    given = {
        **SPARK,
        "jobs.spark.conf": {"spark.a": True, "spark.b": 'C:\\x "y" = 1', "spark.c": 7},
    }
    lines = files(given)["spark-defaults.conf"].splitlines()
    assert {"spark.a true", 'spark.b C:\\\\x "y" = 1', "spark.c 7"} <= set(lines)
    first, second = (of_jobs(one)["backfill"] for one in (SPARK, given))
    assert first["metadata"]["annotations"] != second["metadata"]["annotations"]


def test_executors_reach_postgresql_and_their_driver_and_drivers_kubernetes() -> None:
    found = {name: one["spec"] for name, one in named(render(SPARK), "NetworkPolicy").items()}
    postgres = found["streamflow-postgres"]["ingress"][0]["from"]
    assert "spark" in [
        one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in postgres
    ]
    executors, driver = found["streamflow-spark"], found["streamflow-spark-driver"]
    assert driver["podSelector"]["matchLabels"]["streamflow/spark"] == "driver"
    ports = [one["port"] for rule in driver["ingress"] for one in rule["ports"]]
    assert ports == [7078, 7079]
    outside = [rule for rule in driver["egress"] if "to" not in rule]
    assert [[one["port"] for one in rule["ports"]] for rule in outside] == [[443, 6443]]
    assert {"ports": [{"port": 443}]} in executors["egress"]
    assert not [rule for rule in executors["egress"] if {"port": 6443} in rule["ports"]]


def test_executors_connections_are_in_the_budget(tmp_path: Any) -> None:
    def budget(values: dict[str, Any]) -> int:
        return int(notes(tmp_path, values).split("up to ")[1].split(" connections")[0])

    assert budget({**SPARK, "jobs.spark.executors": 3, "jobs.spark.cores": 2}) == budget(LAKE) + 6
    said = refusal({**SPARK, "jobs.spark.executors": 60})
    assert "or jobs.spark.executors (60)" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"jobs.lake.url": ""}, "jobs.materialize.from is lake, and there is none"),
        ({"jobs.lake.url": ""}, "jobs.materialize.backfills[1] is read from the lake"),
        (
            {"jobs.materialize.from": "database", "jobs.materialize.backfills": []},
            "jobs.spark is on, but nothing is materialized from the lake",
        ),
        ({"jobs.spark.memory": "512Mi"}, "jobs.spark.memory is 512Mi, and half of it too little"),
        ({"jobs.spark.conf": {"spark.master": "local"}}, "has spark.master, which is the chart's"),
        (
            {"jobs.spark.conf": {"spark.executor.cores": 4}},
            "has spark.executor.cores, which is jobs.spark.cores: leave it out",
        ),
        ({"jobs.spark.conf": {"spark.speculation": True}}, "than are counted"),
        (
            {"jobs.spark.conf": {"spark.sql.session.timeZone": "Asia/Tokyo"}},
            "which has to be UTC",
        ),
        (
            {"jobs.spark.conf": {"spark.executorEnv.PGPASSWORD": "x"}},
            "which Spark would show in its logs",
        ),
        ({"jobs.spark.conf": {"spark.hadoop.fs.s3a.secret.key": "x"}}, "would show in its logs"),
        ({"jobs.spark.conf": {"spark.dynamicAllocation.enabled": "TRUE"}}, "than are counted"),
        ({"jobs.spark.conf": {"spark.sql.session.timeZone": 5}}, "which has to be UTC"),
        ({"jobs.spark.conf": {"spark.ui.enabled": True}}, "has spark.ui.enabled, which is the ch"),
        ({"jobs.spark.conf": {"spark.memory.offHeap.size": "9g"}}, "which is jobs.spark.memory"),
        ({"jobs.spark.conf": {"spark.a": "a\u2028b"}}, "spark.a"),
        ({"jobs.spark.cpu": "1u"}, "jobs.spark.cpu is 1u, less than 1m"),
        ({"jobs.materialize.resources": {"limits": {"memory": "400Mi"}}}, "Spark's driver takes"),
        ({"jobs.podSecurityContext.runAsUser": 2000}, "runAsUser is 2000, of which the image"),
        ({"jobs.spark.waitSeconds": 3600}, "+ jobs.spark.waitSeconds, to"),
        ({"api.serviceAccount.name": "streamflow-spark"}, "the account of Spark's drivers"),
        ({"jobs.extraVolumes": [{"name": "spark", "emptyDir": {}}]}, "which the chart's own is"),
        ({"jobs.sidecars": [{"name": "executor", "image": "x"}]}, "which the chart's own is"),
        ({"jobs.podLabels": {"spark-role": "x"}}, "has spark-role, by which pods are found"),
        (
            {"networkPolicy.kubernetes.to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, **ANY_POD}]},
            "networkPolicy.kubernetes.to[0] has an ipBlock beside",
        ),
        ({"jobs.spark.conf": {"hive.x": "1"}}, "hive.x"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal({**SPARK, **values})
