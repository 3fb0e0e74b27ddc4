"""Materializations from the lake by Spark: executors on two nodes, an S3 server, and faults."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import pytest
from kit import pod
from kit.cluster import CommandFailedError, build_target, run
from kit.namespace import Namespace, until

pytestmark = pytest.mark.extended

MOTO = "streamflow-moto:slim"
DOCKERFILE = f"""
FROM python:3.11-slim
RUN pip install --quiet moto[server]=={version("moto")}
"""
KEYS = {
    "AWS_ENDPOINT_URL": "http://s3:5000",
    "AWS_ACCESS_KEY_ID": "a-key-of-the-lake",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-lake",
    "AWS_DEFAULT_REGION": "us-east-1",
}
WAIT_S = 60
DAYS = ["2024-01-31", "2024-02-29"]
MONTHS = [
    {"asOf": day, "source": "sample", "month": f"month_{number:03}"}
    for number, day in enumerate(DAYS)
]
VALUES: dict[str, Any] = {
    "prefect.enabled": False,
    "explorer.enabled": False,
    "api.autoscaling.enabled": False,
    "jobs.audit.enabled": False,
    "jobs.backup.enabled": False,
    # Values come from the lake alone.
    "jobs.ingest.materialize": False,
    "jobs.ingest.months": MONTHS,
    "jobs.lake.url": "s3://months/lake",
    "jobs.lake.envFrom": [{"secretRef": {"name": "lake"}}],
    "jobs.materialize.from": "lake",
    "jobs.materialize.suspend": True,
    "jobs.spark.enabled": True,
    "jobs.spark.cpu": "200m",
    "jobs.spark.memory": "1Gi",
    "jobs.spark.waitSeconds": WAIT_S,
    "networkPolicy.jobs.egress": [{"ports": [{"port": 5000}]}],
}
EXECUTORS = "spark-role=executor"
ONLINE = 'online."streamflow:user_id"'
VALUES_ONLINE = f"SELECT md5(string_agg(x::text, ',' ORDER BY x::text)) FROM {ONLINE} AS x"
STAGED = "SELECT count(*) FROM pg_tables WHERE schemaname = 'streamflow_staging'"


@pytest.fixture(scope="module")
def store(namespace: Namespace) -> Namespace:
    """A namespace with an S3 server, its bucket, and the Secret of its keys."""
    try:
        run("docker", "build", "--tag", MOTO, "-", stdin=DOCKERFILE)
    except CommandFailedError as error:
        pytest.skip(f"no image with moto can be made here: {str(error)[-300:]}")
    namespace.cluster.load(MOTO)
    container = {
        "image": MOTO,
        "command": ["python", "-m", "moto.server", "-H", "0.0.0.0", "-p", "5000"],
        "env": [{"name": "HOME", "value": "/tmp"}],
    }
    made = pod.restricted("s3", container, {}, user=10001)
    namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(made))
    namespace.kubectl("expose", "pod", "s3", "--port=5000")
    namespace.ready("pod/s3")
    bucket = (
        "import urllib.request as r;"
        "r.urlopen(r.Request('http://127.0.0.1:5000/months', method='PUT'))"
    )
    until(lambda: bucket_is_made(namespace, bucket), bool, 60)
    literals = [f"--from-literal={name}={value}" for name, value in KEYS.items()]
    namespace.kubectl("create", "secret", "generic", "lake", *literals)
    return namespace


def bucket_is_made(namespace: Namespace, code: str) -> bool:
    """True when the S3 server, which takes seconds to listen, has the bucket."""
    try:
        namespace.kubectl("exec", "s3", "--", "python", "-c", code)
    except CommandFailedError:
        return False
    return True


@pytest.fixture(scope="module")
def release(store: Namespace) -> Namespace:
    """A release of two months in the lake; nothing is online."""
    tag = build_target("jobs-spark")
    store.cluster.load(f"streamflow-jobs-spark:{tag}")
    install(store, {"jobs.spark.image.tag": tag})
    return store


def install(namespace: Namespace, values: dict[str, Any]) -> None:
    """Installs or upgrades the release."""
    every = {**VALUES, **values}
    namespace.install(
        *(
            part
            for name, one in every.items()
            for part in ("--set-json", f"{name}={json.dumps(one)}")
        )
    )


@contextmanager
def started(namespace: Namespace, name: str) -> Iterator[str]:
    """A run of the CronJob by hand, as the notes say; gives its Job, which goes afterwards."""
    job = f"streamflow-materialize-{name}"
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", job)
    yield job
    namespace.kubectl("delete", "job", job, "--wait=true")


def executors(namespace: Namespace) -> list[dict[str, Any]]:
    """The executors that there are now, and run."""
    found = namespace.get("Pod", selector=EXECUTORS)
    return [one for one in found if one["status"].get("phase") == "Running"]


def query(namespace: Namespace, text: str) -> str:
    """The one value of a query."""
    words = ("psql", "--username=streamflow", "--no-align", "--tuples-only", "--command", text)
    return namespace.kubectl("exec", "streamflow-postgres-0", "--", *words).strip()


def test_two_executors_on_two_nodes_bring_the_values_of_the_database(release: Namespace) -> None:
    assert query(release, f"SELECT count(*) FROM {ONLINE}") == "0"
    with started(release, "20240301t000000z") as job:
        found = until(lambda: executors(release), lambda pods: len(pods) == 2, 240)
        assert len({one["spec"]["nodeName"] for one in found}) == 2
        no_secret_is_seen(release, job, found)
        release.complete(job)
        said, line = release.log(job), release.summary(job)
    assert line["lake"]["engine"] == "spark"
    assert (line["rows"]["read"], line["rows"]["written"]) == (8 * 7043, 4 * 7043)
    assert "executors are there count=" in said
    until(lambda: release.get("Pod", selector=EXECUTORS), lambda pods: pods == [], 60)
    by_spark = query(release, VALUES_ONLINE)
    query(release, f"DELETE FROM {ONLINE}")
    install(release, {**tag_of(release), "jobs.materialize.backfills": [{"end": "2024-03-01"}]})
    assert query(release, "SELECT count(DISTINCT way) FROM ops.materializations") == "2"
    assert query(release, VALUES_ONLINE) == by_spark


def no_secret_is_seen(namespace: Namespace, job: str, found: list[dict[str, Any]]) -> None:
    """Neither the password nor the lake's key is in any object but its Secret, or in any log."""
    secret = namespace.get("Secret", "streamflow-postgres-writer")["data"]["password"]
    secrets = (b64decode(secret).decode(), KEYS["AWS_SECRET_ACCESS_KEY"])
    names = [one["metadata"]["name"] for one in found]
    logs = [namespace.kubectl("logs", name) for name in names]
    objects = namespace.kubectl("get", "pods,jobs,configmaps", "--output=json")
    assert "spark-defaults.conf" in objects
    for text in (objects, namespace.log(job), *logs):
        assert not [one for one in secrets if one in text]


def test_an_executor_that_is_killed_is_replaced(release: Namespace) -> None:
    before = query(release, VALUES_ONLINE)
    query(release, f"DELETE FROM {ONLINE}")
    with started(release, "20240302t000000z") as job:
        first, *_ = until(lambda: executors(release), bool, 240)
        kill(release, first["metadata"]["name"])
        release.complete(job)
        assert release.summary(job)["rows"]["written"] == 4 * 7043
    assert query(release, VALUES_ONLINE) == before
    assert query(release, STAGED) == "0"


def test_a_driver_that_is_killed_takes_its_executors_with_it_and_is_tried_again(
    release: Namespace,
) -> None:
    before = query(release, VALUES_ONLINE)
    query(release, f"DELETE FROM {ONLINE}")
    with started(release, "20240303t000000z") as job:
        found = until(lambda: executors(release), bool, 240)
        (driver,) = release.get("Pod", selector=f"batch.kubernetes.io/job-name={job}")
        for one in found:
            (owner,) = one["metadata"]["ownerReferences"]
            assert owner["uid"] == driver["metadata"]["uid"]
        kill(release, driver["metadata"]["name"])
        release.complete(job)
    assert query(release, VALUES_ONLINE) == before
    assert query(release, STAGED) == "0"


@pytest.mark.parametrize(
    ("verbs", "told"),
    [
        (["get", "list", "watch"], "no executor came"),
        (["create"], 'is forbidden: User "system:serviceaccount:'),
    ],
    ids=["no pod can be made", "its own pod is not seen"],
)
def test_without_a_right_in_its_role_it_says_so_and_changes_nothing(
    release: Namespace, verbs: list[str], told: str
) -> None:
    query(release, f"DELETE FROM {ONLINE}")
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": verbs}
    release.kubectl("patch", "role", "streamflow-spark", "--patch", json.dumps({"rules": [rule]}))
    with started(release, "20240304t000000z") as job:
        until(lambda: counted(release, job, "failed"), bool, 240)
        said = release.logs(job)
    (error, *_) = (line for line in said.splitlines() if line.startswith("error: "))
    assert told in error
    assert "cannot create resource" in said or "cannot get resource" in said
    assert query(release, f"SELECT count(*) FROM {ONLINE}") == "0"


def counted(namespace: Namespace, job: str, what: str) -> int:
    """The number of a Job's pods that its status has under a name, such as `failed`."""
    return int(namespace.get("Job", job)["status"].get(what) or 0)


def kill(namespace: Namespace, name: str) -> None:
    """Kills a pod at once."""
    namespace.kubectl("delete", "pod", name, "--grace-period=0", "--force")


def tag_of(namespace: Namespace) -> dict[str, Any]:
    """The image's tag, as the release was given it."""
    said = json.loads(namespace.helm("get", "values", "streamflow", "--output=json"))
    return {"jobs.spark.image.tag": said["jobs"]["spark"]["image"]["tag"]}
