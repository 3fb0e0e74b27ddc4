"""The drill: a database is backed up, lost with its volume twice, restored, and is what it was."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kit.cluster import CHART, CommandFailedError
from kit.namespace import SAMPLE, Namespace, until

from drills.results import Result, record, record_load

VOLUME = "data-streamflow-postgres-0"
LOSE = (
    "kubectl scale statefulset streamflow-postgres --replicas=0",
    f"kubectl delete pvc {VOLUME}",
    "kubectl scale statefulset streamflow-postgres --replicas=1",
)
"""Commands by which PostgreSQL comes back empty, as the guide and its pod have them."""
GUIDE = CHART.parents[1] / "docs" / "operations.md"
TRAINING_SET = "/training/churn_v1_2024-01-31.parquet"
COUNTS = """
    SELECT format('SELECT %L, count(*) FROM %I.%I', nspname || '.' || relname, nspname, relname)
    FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind = 'r' AND nspname IN ('source', 'registry', 'online', 'ops')
      AND relname <> 'callers' ORDER BY 1 \\gexec
"""
"""Of all tables but the one in which the API notes every minute who asked."""
ASK = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
for user in sys.argv[2:]:
    connection.request("GET", f"/features/{user}")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 200, body
    for view in body["metadata"]["views"].values():
        del view["age_seconds"]
    print(json.dumps(body))
"""
"""Prints 1,000 answers, a line each, without what changes by the second."""


@pytest.fixture(scope="module")
def before(sample_release: Namespace) -> dict[str, Any]:
    """The state of the release before anything happens to it."""
    sample_release.run_pod("asker", "sleep", "3600")
    sample_release.ready("pod/asker")
    return snapshot(sample_release)


@pytest.fixture(scope="module")
def backup(sample_release: Namespace, before: dict[str, Any]) -> str:
    """The name of a backup of the release in its state `before`."""
    return back_up(sample_release, "streamflow-backup-drill")["backup"]


def psql(namespace: Namespace, statement: str, pod: str = "streamflow-postgres-0") -> list[str]:
    """The lines that psql prints, fed as a person would."""
    options = ("-U", "streamflow", "-XAtq", "-v", "ON_ERROR_STOP=1")
    return namespace.kubectl(
        "exec", "-i", pod, "--", "psql", *options, stdin=statement
    ).splitlines()


def snapshot(namespace: Namespace) -> dict[str, Any]:
    """Rows of all tables, the registry, the training set's sha256, and 1,000 answers."""
    feast = ("exec", "deploy/streamflow-feast", "--")
    users = psql(namespace, "SELECT user_id FROM source.users ORDER BY md5(user_id) LIMIT 1000")
    manifest = json.loads(namespace.kubectl(*feast, "cat", f"{TRAINING_SET}.manifest.json"))
    assert "equal to the database" in namespace.kubectl(
        *feast, "streamflow", "verify", TRAINING_SET
    )
    return {
        "rows": psql(namespace, COUNTS),
        "views": namespace.kubectl(*feast, "feast", "feature-views", "list"),
        "plan": namespace.kubectl(*feast, "streamflow", "apply", "--plan"),
        "training_set": manifest["sha256"],
        "answers": namespace.python("asker", ASK, "streamflow-api", *users).splitlines(),
    }


def answers(
    namespace: Namespace, before: dict[str, Any], host: str = "streamflow-api"
) -> list[str]:
    """The same 1,000 answers as `before`, asked again."""
    users = [json.loads(one)["user_id"] for one in before["answers"]]
    return namespace.python("asker", ASK, host, *users).splitlines()


def back_up(namespace: Namespace, job: str) -> dict[str, Any]:
    """Makes a backup as a person would; gives its summary."""
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-backup", job)
    seconds = namespace.complete(job)
    summary = namespace.summary(job)
    print(f"{summary['backup']}: {summary['bytes']:,} bytes, {seconds:.0f} s as a Job")
    return summary


def restore_job(namespace: Namespace) -> str:
    """The name of the restore's Job, of which a release has one."""
    (name,) = (one for one in namespace.jobs() if "-restore-" in one)
    return name


def restoring(backup: str, request: str, *more: str) -> tuple[str, ...]:
    """Options of helm that ask for a restore."""
    return (
        *("--set", f"jobs.restore.backup={backup}", "--set", f"jobs.restore.request={request}"),
        *more,
    )


def test_the_guide_and_the_drill_lose_a_volume_in_the_same_way() -> None:
    section = GUIDE.read_text().split("### A lost volume\n")[1].split("\n### ")[0]
    typed = [line.removeprefix("$ ") for line in section.splitlines() if line.startswith("$ ")]
    assert tuple(typed[:3]) == LOSE
    assert typed[3].startswith("helm upgrade ")


def test_a_backup_knows_the_rows_of_every_table(
    sample_release: Namespace, before: dict[str, Any], backup: str
) -> None:
    listed = sample_release.log("streamflow-backup-drill")
    assert f'"backup": "{backup}"' in listed
    rows = sample_release.summary("streamflow-backup-drill")["rows"]
    callers = rows["streamflow"] - sum(int(one.split("|")[1]) for one in before["rows"])
    assert 0 <= callers < 5
    assert rows["prefect"] > 0
    assert len(before["answers"]) == 1000
    assert "nothing to do" in before["plan"]


def test_the_notes_say_when_it_was_made(sample_release: Namespace, backup: str) -> None:
    found = lambda: sample_release.get("CronJob", "streamflow-backup")["status"]  # noqa: E731
    at = until(lambda: found().get("lastSuccessfulTime"), bool, 60)
    said = sample_release.install(*SAMPLE)
    assert f"last good one: {at}" in said
    assert "without backups" not in said
    assert "No backup has succeeded" not in said


def test_a_backup_that_fails_is_a_failed_job(sample_release: Namespace, backup: str) -> None:
    create = ("create", "job", "--from=cronjob/streamflow-backup", "streamflow-backup-broken")
    job = json.loads(sample_release.kubectl(*create, "--dry-run=client", "--output=json"))
    job["spec"]["backoffLimit"] = 0
    (dump,) = job["spec"]["template"]["spec"]["initContainers"]
    dump["args"][1:] = ["60", "streamflow=no_such_database"]
    sample_release.kubectl("apply", "--filename", "-", stdin=json.dumps(job))
    with pytest.raises(AssertionError, match='database "no_such_database" does not exist'):
        sample_release.complete("streamflow-backup-broken")
    assert backup_files(sample_release) == [backup]


def backup_files(namespace: Namespace) -> list[str]:
    """Lists the files in the volume of the backups, hidden ones as well."""
    namespace.run_pod("keeper", "ls", "-A", "/volume", claim="streamflow-backups")
    said = namespace.finished("keeper").split()
    namespace.kubectl("delete", "pod", "keeper", "--wait=false", "--grace-period=1")
    return said


def test_a_lost_volume_is_restored_and_all_is_as_before(
    sample_release: Namespace, before: dict[str, Any], backup: str
) -> None:
    for request in ("2026-11-28 volume lost", "2026-11-29 volume lost again"):
        lose_the_volume(sample_release)
        assert psql(sample_release, COUNTS) == []
        began = time.monotonic()
        sample_release.install(*SAMPLE, *restoring("latest", request))
        whole = time.monotonic() - began
        job = restore_job(sample_release)
        (done, prefect) = sample_release.summary(job)["databases"]
        assert (done["what"], done["backup"], done["kept"]) == ("streamflow", backup, None)
        assert prefect["what"] == "prefect"
        print(f"restored in {sample_release.complete(job):.0f} s, {whole:.0f} s until ready")
        after = snapshot(sample_release)
        for what, value in before.items():
            assert after[what] == value, what
    compared = "answers before and after; rows, registry and training set, too"
    answered = len(after["answers"])
    record(
        Result("volume lost twice, restored from the backup", compared, answered, 0, whole, lost=0)
    )


def lose_the_volume(namespace: Namespace) -> None:
    """Deletes PostgreSQL's claim as the guide says; returns when an empty one is ready."""
    lost = namespace.get("PersistentVolumeClaim", VOLUME)["metadata"]["uid"]
    for command in LOSE:
        namespace.kubectl(*command.split()[1:])
    until(lambda: ready_replicas(namespace), bool, 180)
    assert namespace.get("PersistentVolumeClaim", VOLUME)["metadata"]["uid"] != lost


def ready_replicas(namespace: Namespace) -> int:
    """Returns the number of PostgreSQL pods that are ready."""
    found = namespace.get("StatefulSet", "streamflow-postgres")["status"]
    return int(found.get("readyReplicas", 0))


def test_the_entry_that_stays_restores_nothing_when_the_jobs_run_elsewhere(
    sample_release: Namespace, before: dict[str, Any], backup: str
) -> None:
    done = restore_job(sample_release)
    stays = restoring("latest", "2026-11-29 volume lost again")
    sample_release.install(*SAMPLE, *stays, "--set", "jobs.resources.requests.cpu=101m")
    again = restore_job(sample_release)
    assert again != done
    said = sample_release.summary(again)
    assert said["databases"] == []
    assert said["message"].startswith("'2026-11-29 volume lost again' was carried out")
    kept = "SELECT datname FROM pg_database WHERE datname LIKE 'streamflow_before%'"
    assert psql(sample_release, kept) == []


def test_over_data_a_restore_is_refused(
    sample_release: Namespace, before: dict[str, Any], backup: str
) -> None:
    psql(sample_release, "DELETE FROM source.labels_snapshots WHERE user_id = '0002-ORFBO'")
    other = back_up(sample_release, "streamflow-backup-second")["backup"]
    known = restore_job(sample_release)
    sample_release.install(*SAMPLE, *restoring(other, "over data"), wait=False)
    job = until(lambda: restore_job(sample_release), lambda name: name != known, 60)
    with pytest.raises(AssertionError, match="database streamflow has data"):
        sample_release.complete(job)
    # Nobody waited for the rest, which would be a run in the database that the next test counts.
    for name in sample_release.jobs():
        if "-apply-" in name:
            sample_release.complete(name)
    (labels,) = psql(sample_release, "SELECT count(*) FROM source.labels_snapshots")
    assert labels == "7042"


def test_told_to_it_restores_beside_and_keeps_the_former(
    sample_release: Namespace, before: dict[str, Any], backup: str
) -> None:
    overwrite = restoring(backup, "wrong data", "--set", "jobs.restore.overwrite=true")
    load = sample_release.load(rate=20, seconds=40)
    sample_release.install(*SAMPLE, *overwrite)
    done, *_ = sample_release.summary(restore_job(sample_release))["databases"]
    assert psql(sample_release, COUNTS) == before["rows"]
    (kept,) = psql(
        sample_release,
        f"\\c {done['kept']}\nSELECT count(*) FROM source.labels_snapshots",
    )
    assert kept == "7042"
    found = load()
    record_load("restored over data", found, found["longest_gap_s"], "; 503 while exchanged")
    assert found["wrong"] == []
    assert found["longest_gap_s"] < 5
    assert answers(sample_release, before) == before["answers"]
    psql(sample_release, f"DROP DATABASE {done['kept']}")


def test_a_rollback_to_the_earlier_restore_restores_nothing(
    sample_release: Namespace, before: dict[str, Any], backup: str
) -> None:
    psql(sample_release, "DELETE FROM source.labels_snapshots WHERE user_id = '0002-ORFBO'")
    other = back_up(sample_release, "streamflow-backup-third")["backup"]
    overwrite = ("--set", "jobs.restore.overwrite=true")
    sample_release.install(*SAMPLE, *restoring(other, "one label less", *overwrite))
    done, *_ = sample_release.summary(restore_job(sample_release))["databases"]
    sample_release.helm("rollback", "streamflow", "--wait", "--wait-for-jobs", "--timeout", "10m")
    said = sample_release.summary(restore_job(sample_release))
    assert said["databases"] == []
    assert said["message"].startswith("'wrong data' was carried out at ")
    (labels,) = psql(sample_release, "SELECT count(*) FROM source.labels_snapshots")
    assert labels == "7042"
    psql(sample_release, f"DROP DATABASE {done['kept']}")


def test_a_backup_moves_to_another_server(
    sample_release: Namespace, before: dict[str, Any], backup: str
) -> None:
    sample_release.run_postgres("elsewhere", 'p@ss/w"o:rd #1 ö')
    move = [
        *("--values", str(CHART / "examples" / "move.yaml"), "--set", "fullnameOverride=move"),
        *restoring(backup, "move", "--set", "postgres.external.sslmode=prefer"),
        *("--set", "postgres.external.host=elsewhere"),
        *("--set", "postgres.auth.existingSecret=elsewhere"),
    ]
    try:
        sample_release.install(*move, release="move")
        assert psql(sample_release, COUNTS, "elsewhere") == before["rows"]
        # What the API serves from there, as the release will once its values name that server.
        serve = ("--set", "api.enabled=true", "--set", "api.autoscaling.enabled=false")
        sample_release.install(*move, *serve, *restoring("", ""), release="move")
        assert answers(sample_release, before, "move-api") == before["answers"]
    finally:  # other modules share the namespace, and look for what is in it
        sample_release.helm("uninstall", "move", "--wait")


@pytest.fixture
def mended(sample_release: Namespace) -> Iterator[None]:
    """Writes the right version over whatever a test wrote."""
    yield
    write = "echo 18 > /volume/18/docker/PG_VERSION"
    sample_release.run_pod("mender", "sh", "-c", write, claim=VOLUME, user=999)
    sample_release.finished("mender")
    sample_release.kubectl("delete", "pod", "streamflow-postgres-0", "mender", "--grace-period=1")
    sample_release.ready("pod/streamflow-postgres-0")


@pytest.mark.usefixtures("mended")
def test_data_of_another_major_version_is_refused_with_what_to_do(
    sample_release: Namespace, backup: str
) -> None:
    pod = "streamflow-postgres-0"
    write = "echo 17 > /var/lib/postgresql/18/docker/PG_VERSION"
    sample_release.kubectl("exec", pod, "--", "bash", "-c", write)
    sample_release.kubectl("delete", "pod", pod)

    def termination_message() -> str:
        try:
            (found,) = sample_release.get("Pod", pod)["status"]["initContainerStatuses"]
        except Exception:  # it is being replaced
            return ""
        ended = found.get("lastState", {}).get("terminated") or found["state"].get("terminated")
        return str((ended or {}).get("message"))

    message = until(termination_message, lambda text: "PostgreSQL 17" in text, 120)
    assert "this image's server is 18 and cannot read it" in message
    assert "postgres.image.tag" in message
    assert all(command in message for command in LOSE)
    with pytest.raises(CommandFailedError):
        psql(sample_release, "SELECT 1")
