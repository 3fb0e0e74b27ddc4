"""A release as its users live it, one step after the other, on a fresh namespace."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from kit.cluster import CommandFailedError, run
from kit.namespace import Namespace, make_namespace, until

SHARED = Path(__file__).parents[3] / "shared"
REAL_MONTHS = SHARED / "data"
METRICS_SERVER = SHARED / "cluster" / "addons" / "metrics-server.yaml"
JANUARY = {"asOf": "2024-01-31", "source": "pvc", "path": "month_000"}
FEBRUARY = {"asOf": "2024-02-29", "source": "pvc", "path": "month_001"}
DATASET = {"asOf": "2024-01-31", "service": "churn_v1"}
KNOWN = {
    "0002-ORFBO": {"months_active": 9, "monthly_fee": 65.5999984741211, "paperless_billing": True},
    "7590-VHVEG": {
        "months_active": 1,
        "monthly_fee": 29.850000381469727,
        "paperless_billing": True,
    },
}


HOLD = """
import time
from streamflow.postgres.connect import connect, lock
with connect(autocommit=True) as connection, lock(connection, "materialize"):
    time.sleep(60)
"""
"""A materialization that takes a minute, as far as others can tell."""


def values(months: list[dict[str, Any]], *more: str) -> list[str]:
    """Options of helm for a release with these months and January's training set."""
    return [
        *("--set-json", f"jobs.ingest.months={json.dumps(months)}"),
        *("--set", "jobs.ingest.pvc.claimName=months"),
        *("--set-json", f"jobs.trainingSet.datasets={json.dumps([DATASET])}"),
        # So that a test's load is a load, and quiet is noticed while the test looks.
        *("--set", "api.autoscaling.targetCPUUtilizationPercentage=40"),
        *("--set", "api.resources.requests.cpu=50m"),
        *("--set", "api.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=10"),
        *more,
    ]


def pods(namespace: Namespace, part: str) -> list[dict[str, Any]]:
    """The pods of a part that are not about to end."""
    found = namespace.get("Pod", selector=f"app.kubernetes.io/component={part}")
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def identity(namespace: Namespace) -> set[tuple[str, int]]:
    """Every pod of the release with its restarts, and every Job."""
    found = {
        (one["metadata"]["uid"], status["restartCount"])
        for one in namespace.get("Pod")
        if one["metadata"]["labels"].get("app.kubernetes.io/instance")
        for status in one["status"]["containerStatuses"]
    }
    return found | {(one["metadata"]["uid"], 0) for one in namespace.get("Job")}


def job_of(namespace: Namespace, kind: str) -> str:
    """The name of the one Job whose name begins like this."""
    (name,) = [name for name in namespace.jobs() if name.startswith(f"streamflow-{kind}-")]
    return name


def ready(namespace: Namespace) -> bool:
    """True if every Deployment and the StatefulSet have all their pods ready."""
    return all(
        one["status"].get("readyReplicas", 0) == one["spec"].get("replicas", 1)
        for kind in ("Deployment", "StatefulSet")
        for one in namespace.get(kind)
    )


def answers(namespace: Namespace) -> bool:
    """True if the API returns the known user's fee."""
    try:
        found = namespace.ask("/features/0002-ORFBO")
    except (CommandFailedError, HTTPError):
        return False
    return bool(found["features"]["monthly_fee"] == 65.5999984741211)


def test_an_empty_release_is_ready_and_knows_nobody(namespace: Namespace) -> None:
    namespace.install()
    assert ready(namespace)
    log = namespace.log(job_of(namespace, "apply"))
    assert "+ feature service churn_v1" in log
    assert namespace.summary(job_of(namespace, "apply"))["outcome"] == "done"
    with pytest.raises(CommandFailedError, match="HTTP Error 404"):
        namespace.ask("/features/0002-ORFBO")
    assert "nothing to audit" in namespace.helm("test", "streamflow", "--logs")
    log = namespace.kubectl("logs", "streamflow-postgres-0")
    assert 'role "postgres" does not exist' not in log  # as the probes would have it


def test_api_pods_are_on_different_nodes(namespace: Namespace) -> None:
    nodes = {one["spec"]["nodeName"] for one in pods(namespace, "api")}
    assert len(nodes) == 2


def test_january_comes_in_through_a_volume(namespace: Namespace, tmp_path: Path) -> None:
    provide_months(namespace, tmp_path)
    said = namespace.install(*values([JANUARY]))
    assert "single pod" in said
    ingest = job_of(namespace, "ingest")
    assert '"read": 42258' in namespace.log(ingest)
    assert namespace.summary(ingest)["command"] == "materialize"
    training = namespace.summary(job_of(namespace, "training-set"))
    assert training["rows"]["written"] == 7_043


def provide_months(namespace: Namespace, scratch: Path) -> None:
    """Copies two months to a volume, as a person would: the real ones, or generated ones."""
    folder = REAL_MONTHS
    if not folder.is_dir():
        folder = scratch
        run("streamflow", "sample", "--out", folder)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "months"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(claim))
    namespace.run_pod("months", "sleep", "600", claim="months")
    namespace.kubectl("wait", "pod/months", "--for=condition=Ready", "--timeout=120s")
    for month in ("month_000", "month_001"):
        namespace.kubectl("cp", "--no-preserve", str(folder / month), f"months:/volume/{month}")
    namespace.kubectl("delete", "pod", "months", "--grace-period=1")


def test_the_training_set_is_what_the_database_says(namespace: Namespace) -> None:
    feast = ["exec", "deploy/streamflow-feast", "--"]
    path = "/training/churn_v1_2024-01-31.parquet"
    said = namespace.kubectl(*feast, "streamflow", "verify", path)
    assert "7,043 rows, equal to the database" in said
    manifest = json.loads(namespace.kubectl(*feast, "cat", f"{path}.manifest.json"))
    assert manifest["rows"] == 7_043
    assert len(manifest["features"]) == 14


def test_a_consumer_in_another_namespace_gets_the_known_answers(namespace: Namespace) -> None:
    other = make_namespace(namespace.cluster, namespace.images, "consumer")
    code = (
        "import json, sys, urllib.request as r\n"
        "for user in sys.argv[2:]:\n"
        "    print(r.urlopen(f'{sys.argv[1]}/features/{user}', timeout=10).read().decode())"
    )
    url = f"http://streamflow-api.{namespace.name}"
    other.run_pod("consumer", "python", "-c", code, url, *KNOWN)
    answers = [json.loads(line) for line in other.finished("consumer").splitlines()]
    other.cluster.kubectl("delete", "namespace", other.name, "--wait=false")
    for answer in answers:
        known = KNOWN[answer["user_id"]]
        assert {name: answer["features"][name] for name in known} == known
        for view in answer["metadata"]["views"].values():
            assert view["as_of"] == "2024-01-31T00:00:00Z"
            assert view["age_seconds"] > 0


def test_helm_test_proves_the_release_and_fails_on_a_planted_difference(
    namespace: Namespace,
) -> None:
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")
    plant = "UPDATE source.usage_agg_30d_snapshots SET skips_7d = skips_7d {} 1"
    psql = ["exec", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-c"]
    namespace.kubectl(*psql, plant.format("+"))
    with pytest.raises(CommandFailedError):
        namespace.helm("test", "streamflow")
    said = namespace.kubectl("logs", "streamflow-test")
    assert "usage_agg_30d_fv:skips_7d differs in 100.0% of the users" in said
    namespace.kubectl(*psql, plant.format("-"))
    namespace.helm("test", "streamflow")


def test_people_run_the_stock_commands_in_the_feast_pod(namespace: Namespace) -> None:
    feast = ["exec", "deploy/streamflow-feast", "--"]
    assert "usage_agg_30d_fv" in namespace.kubectl(*feast, "feast", "feature-views", "list")
    window = ("2024-01-01T00:00:00", "2024-02-01T00:00:00")
    namespace.kubectl(*feast, "feast", "materialize", *window)
    runs = namespace.kubectl(*feast, "streamflow", "runs")
    assert "training-set" in runs
    assert "ingest" in runs


def test_an_image_lists_what_it_is_made_of(namespace: Namespace) -> None:
    feast = ("exec", "deploy/streamflow-feast", "--")
    listed = json.loads(namespace.kubectl(*feast, "cat", "/app/sbom.cdx.json"))
    assert listed["bomFormat"] == "CycloneDX"
    packages = {one["name"]: one["version"] for one in listed["components"]}
    assert packages["feast"] == "0.67.0"
    show = "from importlib.metadata import version; print(version('prefect'))"
    assert packages["prefect"] == namespace.kubectl(*feast, "python", "-c", show).strip()


def test_the_runs_are_on_the_prefect_server(namespace: Namespace) -> None:
    code = (
        "import urllib.request as r;"
        "q = r.Request('http://streamflow-prefect:4200/api/flow_runs/filter', b'{}',"
        " {'Content-Type': 'application/json'}); print(r.urlopen(q).read().decode())"
    )
    feast = ["exec", "deploy/streamflow-feast", "--"]
    runs = json.loads(namespace.kubectl(*feast, "python", "-c", code))
    assert len(runs) >= 3  # the apply may have come before the server
    assert {one["state_name"] for one in runs} == {"Completed"}


def test_the_same_upgrade_again_changes_nothing(namespace: Namespace) -> None:
    before = identity(namespace)
    namespace.install(*values([JANUARY]))
    assert identity(namespace) == before


def test_the_cronjob_knows_its_window_and_two_at_once_do_the_work_once(
    namespace: Namespace,
) -> None:
    create = ("create", "job", "--from=cronjob/streamflow-materialize")
    scheduled = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    name = f"streamflow-materialize-{int(scheduled.timestamp()) // 60}"
    namespace.kubectl(*create, name)
    complete(namespace, name)
    assert datetime.fromisoformat(namespace.summary(name)["window"]["end"]) == scheduled

    began = datetime.now(UTC)
    by_day = "streamflow-materialize-20240131"  # as minutes since 1970 a day of 2008
    namespace.kubectl(*create, by_day)
    complete(namespace, by_day)
    end = datetime.fromisoformat(namespace.summary(by_day)["window"]["end"])
    assert end > began - timedelta(minutes=1)
    assert "the window ends now" in namespace.log(by_day)

    hold = ("exec", "deploy/streamflow-feast", "--", "python", "-c", HOLD)
    other = threading.Thread(target=namespace.kubectl, args=hold)
    other.start()
    namespace.kubectl(*create, "by-hand")
    complete(namespace, "by-hand")
    other.join()
    said = namespace.summary("by-hand")["message"]
    assert said == "another materialization is running, nothing to do"


def complete(namespace: Namespace, job: str, timeout: int = 180) -> None:
    """Waits for a Job to end well."""
    namespace.kubectl("wait", f"job/{job}", "--for=condition=Complete", f"--timeout={timeout}s")


def test_a_new_feature_is_added_and_rolled_back_without_a_failed_request(
    namespace: Namespace,
) -> None:
    tag = image_with_another_feature(namespace)
    before = set(namespace.jobs())
    old = namespace.ask("/services/churn_v1")["contract"]
    summary = namespace.load(rate=50, seconds=120)
    namespace.install(*values([JANUARY]), "--set", f"jobs.image.tag={tag}")
    assert any(name.startswith("streamflow-apply-") for name in set(namespace.jobs()) - before)
    new = until(
        lambda: namespace.ask("/services/churn_v1")["contract"], lambda found: found != old, 30
    )
    assert "contract_type" in namespace.ask("/features/0002-ORFBO")["features"]

    namespace.helm("rollback", "streamflow", "--wait", "--wait-for-jobs", "--timeout", "10m")
    until(lambda: namespace.ask("/services/churn_v1")["contract"], lambda found: found == old, 60)
    assert set(namespace.jobs()) >= {name for name in before if "-apply-" in name}
    found = summary()
    assert found["failed"] == {}
    assert found["wrong"] == []
    assert set(found["contracts"]) == {old, new}
    until(lambda: asked_for(namespace), lambda asked: asked >= {old, new}, 90)


def asked_for(namespace: Namespace) -> set[str]:
    """The contracts that somebody asked for, as the pods of the API have noted it."""
    listed = ("exec", "deploy/streamflow-feast", "--", "streamflow", "contracts", "--json")
    return {one["contract"] for one in json.loads(namespace.kubectl(*listed)) if one["asked_by"]}


def image_with_another_feature(namespace: Namespace) -> str:
    """The jobs image with `contract_type` as a feature, on the nodes; its tag."""
    edit = (
        "import pathlib; f = pathlib.Path('/app/feature_repo/definitions.py'); q = chr(34);"
        "name = q + 'net_service' + q + ','; more = q + 'contract_type' + q + ',';"
        "f.write_text(f.read_text().replace(name, name + more))"
    )
    base = f"streamflow-jobs:{namespace.images.jobs}"
    dockerfile = f'FROM {base}\nUSER 0\nRUN python -c "{edit}"\nUSER 10001:10001\n'
    image = run("docker", "build", "--quiet", "-", stdin=dockerfile).strip()
    tag = f"kind-{image.removeprefix('sha256:')[:12]}"
    run("docker", "tag", image, f"streamflow-jobs:{tag}")
    namespace.cluster.load(f"streamflow-jobs:{tag}")
    return tag


def test_load_raises_the_number_of_pods_and_quiet_lets_it_fall(namespace: Namespace) -> None:
    if not METRICS_SERVER.exists():
        pytest.skip("no metrics-server for this cluster: its manifest is not here")
    namespace.cluster.kubectl("apply", "--filename", str(METRICS_SERVER))
    autoscaler = ("HorizontalPodAutoscaler", "streamflow-api")
    known = lambda: namespace.get(*autoscaler)["status"].get("currentMetrics")  # noqa: E731
    until(known, bool, 180)
    summary = namespace.load(rate=120, seconds=90)
    count = lambda: namespace.get(*autoscaler)["status"]["desiredReplicas"]  # noqa: E731
    until(count, lambda pods: pods > 2, 120)
    assert summary()["wrong"] == []
    until(count, lambda pods: pods == 2, 300)


@pytest.mark.parametrize("part", ["api", "postgres"])
def test_it_recovers_from_a_lost_pod(namespace: Namespace, part: str) -> None:
    # Of the API one may be ending still, which the autoscaler took away just before.
    before = [one for one in pods(namespace, part) if not one["metadata"].get("deletionTimestamp")]
    name, lost = (before[0]["metadata"][one] for one in ("name", "uid"))
    began = time.monotonic()
    namespace.kubectl("delete", "pod", name, "--grace-period=0", "--force")
    until(lambda: ready_pods(namespace, part) - {lost}, lambda now: len(now) == len(before), 120)
    until(lambda: answers(namespace), bool, 120)
    print(f"pod of {part} deleted: whole again after {time.monotonic() - began:.0f} s")


def ready_pods(namespace: Namespace, part: str) -> set[str]:
    """The uids of a part's pods that are ready."""
    return {
        one["metadata"]["uid"]
        for one in pods(namespace, part)
        for condition in one["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def test_february_is_served_and_january_stays_what_it_was(namespace: Namespace) -> None:
    before = namespace.summary(job_of(namespace, "training-set"))["run"]
    namespace.install(*values([JANUARY, FEBRUARY]))
    view = namespace.ask("/features/0002-ORFBO")["metadata"]["views"]["usage_agg_30d_fv"]
    assert view["as_of"] == "2024-02-29T00:00:00Z"
    age = datetime.now(UTC) - datetime(2024, 2, 29, tzinfo=UTC)
    assert abs(view["age_seconds"] - age.total_seconds()) < 60
    assert namespace.summary(job_of(namespace, "training-set"))["run"] == before


def test_a_backfill_is_a_job_of_its_own_and_serves_nothing_older(namespace: Namespace) -> None:
    backfill = [{"start": "2024-01-01", "end": "2024-02-01"}]
    namespace.install(
        *values([JANUARY, FEBRUARY]),
        *("--set-json", f"jobs.materialize.backfills={json.dumps(backfill)}"),
    )
    (name,) = [name for name in namespace.jobs() if "-backfill-" in name]
    rows = namespace.summary(name)["rows"]
    assert (rows["read"], rows["written"], rows["older"]) == (28_172, 0, 28_172)
    view = namespace.ask("/features/0002-ORFBO")["metadata"]["views"]["usage_agg_30d_fv"]
    assert view["as_of"] == "2024-02-29T00:00:00Z"


def test_where_the_jobs_run_is_no_new_work_and_a_month_that_is_loaded_needs_no_source(
    namespace: Namespace,
) -> None:
    backfill = [{"start": "2024-01-01", "end": "2024-02-01"}]
    asked = ("--set-json", f"jobs.materialize.backfills={json.dumps(backfill)}")
    elsewhere = (
        *("--set", "jobs.nodeSelector.kubernetes\\.io/os=linux"),
        *("--set", "feast.nodeSelector.kubernetes\\.io/os=linux"),
        *("--set", "jobs.resources.requests.cpu=99m", "--set", "jobs.podAnnotations.moved=yes"),
    )
    # That of the rollback may have looked at the definitions before the rollback's `apply`.
    namespace.kubectl("delete", "job", job_of(namespace, "training-set"))
    namespace.install(*values([JANUARY, FEBRUARY]), *asked)
    jobs, work = set(namespace.jobs()), run_counts(namespace)
    namespace.install(*values([JANUARY, FEBRUARY]), *asked, *elsewhere)
    for kind in ("ingest", "training-set", "backfill"):
        assert job_of(namespace, kind) not in jobs
        assert namespace.summary(job_of(namespace, kind))["message"].startswith("nothing to do")
    assert run_counts(namespace) == work
    namespace.install(*values([]), *asked)  # taken out of the values
    namespace.kubectl("delete", "pvc", "months")
    assert run_counts(namespace) == work
    feast = ("exec", "deploy/streamflow-feast", "--")
    path = "/training/churn_v1_2024-01-31.parquet"
    assert "equal to the database" in namespace.kubectl(*feast, "streamflow", "verify", path)


def run_counts(namespace: Namespace) -> str:
    """Returns the number of runs of each command that computes something."""
    query = (
        "SELECT command, count(*) FROM ops.runs"
        " WHERE command IN ('ingest', 'materialize', 'training-set') GROUP BY 1 ORDER BY 1"
    )
    psql = ("exec", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-XAtc")
    return namespace.kubectl(*psql, query)


def test_a_reinstalled_release_finds_its_data(namespace: Namespace) -> None:
    namespace.helm("uninstall", "streamflow", "--wait")
    namespace.kubectl("delete", "jobs", "--all")
    claims = {one["metadata"]["name"] for one in namespace.get("PersistentVolumeClaim")}
    assert "data-streamflow-postgres-0" in claims
    namespace.install()
    until(lambda: namespace.ask("/features/0002-ORFBO")["features"]["monthly_fee"], bool, 60)


def test_without_persistence_the_data_goes_with_the_release(namespace: Namespace) -> None:
    namespace.helm("uninstall", "streamflow", "--wait")
    namespace.kubectl("delete", "pvc", "data-streamflow-postgres-0")
    said = namespace.install("--set", "postgres.persistence.enabled=false")
    assert "persistence" in said[said.index("Mind:") : said.index("Next:")]
    with pytest.raises(CommandFailedError, match="HTTP Error 404"):
        namespace.ask("/features/0002-ORFBO")
