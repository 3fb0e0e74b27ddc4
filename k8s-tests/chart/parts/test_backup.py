"""Backups, restores and the version check, as the chart renders and scripts them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kit.render import CHART, EXTERNAL, FULL, containers, named, pods, render

URL = {"jobs.backup.to": "s3://backups/one", "networkPolicy.jobs.egress": [{"ports": []}]}


def backup_pod(values: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = pods(render(values))["CronJob/streamflow-backup"]["spec"]
    return found


def restore_pod(values: dict[str, Any]) -> dict[str, Any]:
    """The pod of the one Job that restores."""
    (found,) = [pod for name, pod in pods(render(values)).items() if "-restore-" in name]
    return found["spec"]


@pytest.mark.parametrize(
    ("values", "on"),
    [
        ({}, True),
        ({"postgres.persistence.enabled": False}, False),
        (EXTERNAL, False),
        ({**EXTERNAL, "jobs.backup.enabled": True}, True),
        ({"jobs.backup.enabled": False}, False),
    ],
    ids=str,
)
def test_what_has_a_volume_of_ours_is_backed_up(values: dict[str, Any], on: bool) -> None:
    manifests = render(values)
    assert ("streamflow-backup" in named(manifests, "CronJob")) == on
    assert ("streamflow-backups" in named(manifests, "PersistentVolumeClaim")) == on


def test_postgresqls_image_dumps_and_ours_stores_every_night() -> None:
    cron = named(render(), "CronJob")["streamflow-backup"]["spec"]
    assert (cron["schedule"], cron["timeZone"]) == ("0 2 * * *", "Etc/UTC")
    (dump,), (store,) = (backup_pod()[one] for one in ("initContainers", "containers"))
    assert dump["image"] == "postgres:18"
    work = "/backups/.$(JOB_NAME).tmp"
    assert dump["args"] == [work, "300", "streamflow=streamflow", "prefect=prefect"]
    assert store["image"] == "streamflow-jobs:0.1.0"
    assert store["args"] == [
        *("backup", "store", work, "--to", "/backups"),
        *("--prefix", "streamflow", "--keep", "7"),
    ]


def test_a_prefect_that_is_not_ours_is_not_dumped() -> None:
    for values in ({"prefect.enabled": False}, {"prefect.apiUrl": "http://prefect:4200/api"}):
        assert backup_pod(values)["initContainers"][0]["args"][2:] == ["streamflow=streamflow"]


def test_a_url_needs_no_volume_and_only_the_upload_has_its_credentials() -> None:
    secret = {"jobs.backup.envFrom": [{"secretRef": {"name": "s3"}}]}
    assert "streamflow-backups" not in named(render({**URL}), "PersistentVolumeClaim")
    pod = backup_pod({**URL, **secret})
    assert {"name": "backups", "emptyDir": {}} in pod["volumes"]
    assert "envFrom" not in pod["initContainers"][0]
    assert pod["containers"][0]["envFrom"] == secret["jobs.backup.envFrom"]
    assert pod["containers"][0]["args"][4] == "s3://backups/one"


def test_the_volume_is_used_at_once_so_that_an_install_does_not_wait_for_it() -> None:
    (check,) = [pod for name, pod in pods(render()).items() if "-backup-check-" in name]
    claims = [one.get("persistentVolumeClaim") for one in check["spec"]["volumes"]]
    assert {"claimName": "streamflow-backups"} in claims
    assert check["spec"]["containers"][0]["args"] == ["backup", "check", "/backups"]


def test_a_restore_is_prepared_made_and_finished_in_this_order() -> None:
    restored = {
        "jobs.restore.backup": "streamflow-20260201T020000Z",
        "jobs.restore.request": "2026-11-28 wrong data",
    }
    pod = restore_pod(restored)
    prepare, restore, finish = pod["initContainers"]
    asks = ["/plan", "--from", "/backups", "--prefix", "streamflow"]
    asks += ["--request", "2026-11-28 wrong data"]
    (roles,) = pod["containers"]
    assert roles["args"][:2] == ["db", "roles"]
    alone = restore_pod({**restored, "postgres.roles.enabled": False})
    assert (alone["initContainers"], alone["containers"]) == ([prepare, restore], [finish])
    assert prepare["args"] == [
        *("restore", "prepare", "streamflow-20260201T020000Z", *asks),
        *("--database", "streamflow=streamflow", "--database", "prefect=prefect"),
    ]
    assert (restore["image"], restore["args"]) == ("postgres:18", ["/plan/plan"])
    assert finish["args"] == ["restore", "finish", *asks]
    for container in (prepare, restore, finish):
        mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
        # What was carried out is written down beside the backups.
        assert mounts["/backups"].get("readOnly", False) is (container is restore)
        assert "/plan" in mounts
    told = {**restored, "jobs.restore.overwrite": True, "jobs.restore.request": 7}
    args = restore_pod(told)["initContainers"][0]["args"]
    assert args[-1] == "--overwrite"
    assert args[args.index("--request") + 1] == "7"
    assert not [name for name in pods(render()) if "-restore-" in name]


def test_kubernetes_leaves_the_scripts_as_they_are() -> None:
    scripts = [
        container["command"][2]
        for pod in pods(render(FULL)).values()
        for container in containers(pod)
        if container.get("command", [""])[0] == "bash"
    ]
    assert {one.strip() for one in scripts} == {
        (CHART / "files" / f"{name}.sh").read_text().strip()
        for name in ("dump", "restore", "check_version")
    }
    for script in scripts:  # it would replace $(NAME) of a known variable, and halve $$
        assert not re.search(r"\$\([A-Z_]+\)|\$\$", script)
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=10)


@pytest.mark.parametrize(
    ("there", "code", "said"),
    [
        (None, 0, "no data yet"),
        ("18", 0, "is of PostgreSQL 18, as the server is"),
        ("17", 1, "is of PostgreSQL 17; this image's server is 18 and cannot read it"),
        ("19", 1, "is of PostgreSQL 19; this image's server is 18"),
    ],
)
def test_a_server_starts_on_data_of_its_own_major_version_only(
    tmp_path: Path, there: str | None, code: int, said: str
) -> None:
    (init,) = pods(render())["StatefulSet/streamflow-postgres"]["spec"]["initContainers"]
    server = tmp_path / "postgres"
    server.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.6 (Debian 18.6-1.pgdg13+1)'\n")
    server.chmod(0o755)
    if there:
        (tmp_path / "PG_VERSION").write_text(f"{there}\n")
    variables = {one["name"]: one["value"] for one in init["env"]}
    assert variables["PGDATA"] == "/var/lib/postgresql/18/docker"
    done = subprocess.run(
        init["command"],
        env={**variables, "PGDATA": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr
    if code:
        assert "kubectl create job --from=cronjob/streamflow-backup" in done.stderr
        assert "kubectl scale statefulset streamflow-postgres --replicas=0" in done.stderr
        assert "kubectl delete pvc data-streamflow-postgres-0\n" in done.stderr
        assert "kubectl scale statefulset streamflow-postgres --replicas=1" in done.stderr
        assert "jobs.restore.backup=latest and jobs.restore.request=" in done.stderr
    assert init["volumeMounts"][-1]["readOnly"] is True
