"""Tests of a person's own containers and objects, and of a new server password, in a release."""

import base64
import json
from typing import Any

import pytest
from kit.cluster import CommandFailedError
from kit.namespace import SAMPLE, Namespace, until
from kit.render import containers

pytestmark = pytest.mark.extended

ALONE = [*SAMPLE, *("--set", "prefect.enabled=false", "--set", "prefect.deployments.enabled=false")]
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def container(namespace: Namespace, name: str, code: str) -> dict[str, Any]:
    """A container of the jobs image that runs Python code."""
    image = f"streamflow-jobs:{namespace.images.jobs}"
    command = ["python", "-c", code]
    return {"name": name, "image": image, "command": command, "securityContext": RESTRICTED}


def additions(namespace: Namespace) -> list[str]:
    """Options of helm with containers for API and jobs, and an object beside them."""
    first = container(namespace, "first", "print('came first')")
    beside = container(namespace, "beside", "import time; time.sleep(100000)")
    object_ = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "witness"}}
    given = {
        "api.initContainers": [first],
        "api.sidecars": [beside],
        "jobs.sidecars": [beside],
        "extraObjects": [object_],
    }
    return [
        word for key, one in given.items() for word in ("--set-json", f"{key}={json.dumps(one)}")
    ]


def test_containers_run_before_and_beside_and_jobs_end(namespace: Namespace) -> None:
    # --wait-for-jobs: a container beside a Job's does not keep it from ending.
    namespace.install(*ALONE, *additions(namespace))
    (pod,) = namespace.get("Pod", selector="app.kubernetes.io/component=api")
    assert {"first", "beside", "api"} <= {one["name"] for one in containers(pod)}
    assert "came first" in namespace.kubectl("logs", pod["metadata"]["name"], "--container=first")
    assert namespace.get("ConfigMap", "witness")
    assert namespace.ask("/features/0002-ORFBO")["features"]["monthly_fee"] == 65.5999984741211


def password(namespace: Namespace) -> str:
    """The server's password in its Secret."""
    data = namespace.get("Secret", "streamflow-postgres")["data"]
    return base64.b64decode(data["password"]).decode()


def logs_in(namespace: Namespace, with_password: str) -> bool:
    """True if the server takes this password, over the pod's IP: loopback needs none."""
    address = namespace.get("Pod", "streamflow-postgres-0")["status"]["podIP"]
    command = ("psql", f"--host={address}", "--no-password", "--command=SELECT 1")
    where = ("exec", "streamflow-postgres-0", "--container=postgres", "--")
    try:
        namespace.kubectl(*where, "env", f"PGPASSWORD={with_password}", *command)
    except CommandFailedError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    return True


def test_the_servers_user_gets_another_password(namespace: Namespace) -> None:
    former = password(namespace)
    assert logs_in(namespace, former)
    rotation = ("--set", "postgres.auth.rotation=1")
    namespace.install(*ALONE, *additions(namespace), *rotation)
    another = password(namespace)
    assert another != former
    # The hook may still be at it when the server is ready.
    until(lambda: logs_in(namespace, another), bool, 60)
    assert not logs_in(namespace, former)
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-backup", "with-another")
    namespace.complete("with-another")

    namespace.install(*ALONE, *additions(namespace), *rotation)
    assert password(namespace) == another


def test_a_server_with_a_wrong_password_takes_its_secrets_again(namespace: Namespace) -> None:
    wrong = "ALTER ROLE streamflow PASSWORD 'somebody changed it'"
    where = ("exec", "streamflow-postgres-0", "--container=postgres", "--")
    namespace.kubectl(*where, "psql", f"--command={wrong}")
    assert not logs_in(namespace, password(namespace))
    namespace.kubectl("rollout", "restart", "statefulset/streamflow-postgres")
    namespace.kubectl("rollout", "status", "statefulset/streamflow-postgres", "--timeout=180s")
    until(lambda: logs_in(namespace, password(namespace)), bool, 60)


def test_what_is_refused_leaves_nothing_behind(namespace: Namespace) -> None:
    listed = ("get", "secrets,persistentvolumeclaims", "--output=name")
    before = namespace.kubectl(*listed)
    with pytest.raises(CommandFailedError, match="would have Services called"):
        namespace.install(*ALONE, release="my.app")
    assert namespace.kubectl(*listed) == before
