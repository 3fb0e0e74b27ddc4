"""Every example on a cluster: installed where kind can have it, else taken by the API server.

examples/gitops.yaml is installed in test_gitops.py, by kubectl.
"""

import json
import subprocess

import pytest
from kit.cluster import CHART
from kit.namespace import RESTRICTED, Namespace
from kit.render import EXAMPLES

pytestmark = pytest.mark.extended

HERE = ("laptop",)
ELSEWHERE = ("gitops",)
NOT_INSTALLED = {
    "cnpg": "takes CloudNativePG's operator; test_cnpg.py holds it against the operator's schema",
    "move": "takes a server of another name; test_move_to_production.py gives it one",
    "openshift": "has users of OpenShift's; without, the image of PostgreSQL would be root",
    "production": "takes a registry, S3 and a server; test_move_to_production.py does with less",
}
"""The examples that are not installed as they are, each with the reason."""
SECRETS = {
    "registry": (),
    "streamflow-api-keys": (f"--from-literal=churn-model={'0' * 64}",),
    "streamflow-database": ("--from-literal=password=a",),
    "streamflow-s3": ("--from-literal=AWS_ACCESS_KEY_ID=a",),
    "features-app": tuple(
        f"--from-literal={key}=a" for key in ("host", "port", "dbname", "username", "password")
    ),
    "features-tls": (),
}
"""The Secrets that the examples' comments make first, as far as the chart looks at them."""

OF_EVERY_HEADLESS_SERVICE = "Warning: spec.SessionAffinity is ignored for headless services"
"""Said by Kubernetes 1.34, also where none is set."""


def example(name: str) -> tuple[str, str]:
    """Helm's option for the values of an example."""
    return ("--values", str(CHART / "examples" / f"{name}.yaml"))


def drift(namespace: Namespace) -> str:
    """Returns the changes that Flux would make if it applied the release's manifests again."""
    return namespace.kubectl(
        *("diff", "--server-side", "--force-conflicts", "--field-manager=helm-controller"),
        *("--filename", "-"),
        stdin=namespace.helm("get", "manifest", "streamflow"),
    )


def test_no_example_is_left_out() -> None:
    assert {path.stem for path in EXAMPLES} == {*HERE, *ELSEWHERE, *NOT_INSTALLED}


@pytest.mark.parametrize("name", HERE)
def test_an_example_is_a_release_that_answers(namespace: Namespace, name: str) -> None:
    namespace.install(*example(name))
    namespace.kubectl("rollout", "status", "deployment/streamflow-api", "--timeout=60s")
    for job, found in namespace.jobs().items():
        assert found["status"].get("succeeded") == 1, job
    assert namespace.ask("/readyz")["status"] == "ready"
    assert namespace.ask("/features/0002-ORFBO")["features"]


def test_flux_finds_no_drift_in_a_release_nor_after_an_upgrade(namespace: Namespace) -> None:
    assert drift(namespace) == ""
    namespace.install(
        *example("laptop"), "--set", "jobs.audit.users=100", "--set", "api.poolSize=5"
    )
    assert drift(namespace) == ""


@pytest.mark.parametrize("name", NOT_INSTALLED)
def test_the_server_takes_what_cannot_run_here(namespace: Namespace, name: str) -> None:
    namespace.kubectl("label", "namespace", namespace.name, RESTRICTED.replace("enforce", "warn"))
    for secret, options in SECRETS.items():
        made = namespace.kubectl(
            *("create", "secret", "generic", secret, *options, "--dry-run=client", "-o", "json")
        )
        namespace.kubectl("apply", "--filename", "-", stdin=made)
    options = ("--dry-run=server", "--output", "json", *example(name))
    release = json.loads(namespace.helm("install", f"dry-{name}", str(CHART), *options))
    done = subprocess.run(
        [
            *("kubectl", "--context", namespace.cluster.context, "--namespace", namespace.name),
            *("apply", "--server-side", "--dry-run=server", "--filename", "-"),
        ],
        input=release["manifest"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    warnings = set(done.stderr.splitlines()) - {OF_EVERY_HEADLESS_SERVICE}
    assert (done.returncode, warnings) == (0, set())
    assert done.stdout.count("(server dry run)") == release["manifest"].count("\nkind: ")
