"""A PostgreSQL that is there already, and what a person reads when something is wrong."""

import json
import time
from typing import Any

import pytest
from kit.cluster import POSTGRES_IMAGE, CommandFailedError
from kit.namespace import Namespace, until

PASSWORD = 'p@ss/w"o:rd #1 ö'
EXTERNAL = [
    *("--set", "postgres.external.enabled=true", "--set", "postgres.external.host=elsewhere"),
    *("--set", "postgres.auth.existingSecret=elsewhere", "--set", "prefect.enabled=false"),
]
SAMPLE = [{"asOf": "2024-01-31", "source": "sample", "month": "month_000"}]
SECONDS_TO_TELL = 120


@pytest.fixture(scope="module", autouse=True)
def elsewhere(namespace: Namespace) -> None:
    """A PostgreSQL of the test's own, called `elsewhere`, its password in a Secret."""
    namespace.kubectl(
        *("create", "secret", "generic", "elsewhere", f"--from-literal=password={PASSWORD}")
    )
    variables = {"POSTGRES_USER": "streamflow", "POSTGRES_DB": "streamflow"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "elsewhere", "labels": {"app": "elsewhere"}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 999,
                "fsGroup": 999,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [
                {
                    "name": "postgres",
                    "image": POSTGRES_IMAGE,
                    "env": [
                        *({"name": name, "value": value} for name, value in variables.items()),
                        {
                            "name": "POSTGRES_PASSWORD",
                            "valueFrom": {"secretKeyRef": {"name": "elsewhere", "key": "password"}},
                        },
                    ],
                    "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}},
                    "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql"}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(pod))
    namespace.kubectl("expose", "pod", "elsewhere", "--port=5432")
    namespace.kubectl("wait", "pod/elsewhere", "--for=condition=Ready", "--timeout=120s")


def job_name(namespace: Namespace, release: str, kind: str) -> str:
    """The name of a release's Job."""
    names = until(
        lambda: [one for one in namespace.jobs() if one.startswith(f"{release}-{kind}-")], bool, 30
    )
    return str(names[0])


def wait_for_log(namespace: Namespace, release: str, kind: str, words: str) -> None:
    """Waits until a Job's log has these words, no longer than a person would."""

    def log() -> str:
        try:  # an upgrade has made another one
            return namespace.log(job_name(namespace, release, kind))
        except CommandFailedError:  # its pod has not begun
            return ""

    began = time.monotonic()
    until(log, lambda said: words in said, SECONDS_TO_TELL)
    print(f"{words!r} after {time.monotonic() - began:.0f} s")


def test_it_uses_the_database_that_is_there_and_brings_none(namespace: Namespace) -> None:
    namespace.install(*EXTERNAL, "--set-json", f"jobs.ingest.months={json.dumps(SAMPLE)}")
    assert namespace.get("StatefulSet") == []
    assert namespace.get("PersistentVolumeClaim") == []
    found = namespace.ask("/features/0002-ORFBO")
    assert found["features"]["monthly_fee"] == 65.5999984741211
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")


def test_a_refused_month_says_why_at_once_and_changes_nothing(namespace: Namespace) -> None:
    before = namespace.ask("/features/0002-ORFBO")["features"]
    wrong = [*SAMPLE, {"asOf": "2024-02-29", "source": "url", "url": "file:///nowhere"}]
    namespace.install(
        *EXTERNAL, "--set-json", f"jobs.ingest.months={json.dumps(wrong)}", wait=False
    )
    wait_for_log(namespace, "streamflow", "ingest", "labels.csv: the file is missing")
    job = job_name(namespace, "streamflow", "ingest")
    assert '"message": "nothing to do: ' in namespace.log(job)  # the other month
    failed = until(lambda: conditions(namespace, job).get("Failed"), bool, 60)
    assert failed["reason"] == "PodFailurePolicy"
    assert namespace.ask("/features/0002-ORFBO")["features"] == before


def conditions(namespace: Namespace, job: str) -> dict[str, Any]:
    """A Job's conditions by type."""
    found = namespace.get("Job", job)["status"].get("conditions", [])
    return {one["type"]: one for one in found}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["postgres.auth.existingSecret=wrong"], "password authentication failed"),
        (["postgres.external.host=nowhere"], "nowhere"),
        (["postgres.external.port=5433"], "Connection refused"),
        (["postgres.auth.database=other"], "does not exist"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(
    namespace: Namespace, options: list[str], words: str
) -> None:
    secret = ("create", "secret", "generic", "wrong", "--from-literal=password=wrong")
    namespace.kubectl(
        "apply", "-f", "-", stdin=namespace.kubectl(*secret, "--dry-run=client", "-oyaml")
    )
    sets = [word for option in options for word in ("--set", option)]
    namespace.install(*EXTERNAL, *sets, wait=False, release="second")
    try:
        wait_for_log(namespace, "second-streamflow", "apply", words)
        ready = namespace.get("Deployment", "second-streamflow-api")["status"]
        assert ready.get("readyReplicas", 0) == 0
    finally:
        namespace.helm("uninstall", "second", "--wait")


def test_a_missing_secret_is_named_before_anything_is_made(namespace: Namespace) -> None:
    with pytest.raises(CommandFailedError, match="no-such-secret"):
        namespace.install(
            *EXTERNAL,
            *("--set", "postgres.auth.existingSecret=no-such-secret"),
            wait=False,
            release="third",
        )
    assert not [name for name in namespace.jobs() if name.startswith("third")]


def test_an_image_that_does_not_exist_is_named(namespace: Namespace) -> None:
    namespace.install(
        *EXTERNAL, "--set", "jobs.image.tag=no-such-tag", wait=False, release="fourth"
    )
    try:
        until(
            lambda: container_statuses(namespace),
            lambda found: "no-such-tag" in found,
            SECONDS_TO_TELL,
        )
    finally:
        namespace.helm("uninstall", "fourth", "--wait")


def container_statuses(namespace: Namespace) -> str:
    """Returns the container statuses of the release's pods, which tell why they do not start."""
    found = namespace.get("Pod", selector="app.kubernetes.io/instance=fourth")
    return json.dumps([one["status"].get("containerStatuses", []) for one in found])
