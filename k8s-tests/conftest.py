"""One kind cluster for the run, kept on request, and what a failure needs to be understood."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cluster import CHART, Cluster, CommandFailedError, Images, missing

METRICS_SERVER = Path(__file__).parents[2] / "shared" / "cluster" / "addons" / "metrics-server.yaml"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
LOAD = Path(__file__).with_name("load.py").read_text()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--keep-cluster`: leave the cluster for the next run, which is two minutes faster."""
    parser.addoption("--keep-cluster", action="store_true", help="leave the kind cluster running")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A three-node kind cluster; skipped where there can be none, unless it is required."""
    if reason := missing():
        if os.environ.get("STREAMFLOW_REQUIRE_CLUSTER"):
            pytest.fail(f"a cluster is required and none can be made: {reason}")
        pytest.skip(reason)
    found = Cluster("streamflow-test")
    found.create()
    yield found
    if not request.config.getoption("--keep-cluster"):
        found.delete()


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Images:
    """The images of this checkout, on the cluster's nodes."""
    return cluster.fill()


@dataclass
class Namespace:
    """A namespace that admits only restricted pods, and what happens in it."""

    cluster: Cluster
    images: Images
    name: str
    helm_options: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Runs kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *arguments, **options)

    def get(self, *what: str) -> Any:
        """Objects of this namespace, as parsed JSON."""
        return json.loads(self.kubectl("get", *what, "--output", "json"))

    def helm(self, *arguments: str) -> str:
        """Runs helm in this namespace."""
        return self.cluster.helm("--namespace", self.name, *arguments)

    def install(self, *options: str, wait: bool = True, release: str = "streamflow") -> str:
        """Installs or upgrades the chart of this checkout with its images."""
        waiting = ["--wait", "--wait-for-jobs", "--timeout", "10m"] if wait else []
        return self.helm(
            *("upgrade", "--install", release, str(CHART)),
            *(*waiting, *self.images.values, *options),
        )

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The Jobs by name."""
        return {one["metadata"]["name"]: one for one in self.get("jobs")["items"]}

    def log(self, job: str) -> str:
        """What the newest pod of a Job printed."""
        return self.kubectl("logs", f"job/{job}", "--all-containers=false")

    def summary(self, job: str) -> dict[str, Any]:
        """The JSON line that ends a Job's log."""
        lines = [line for line in self.log(job).splitlines() if line.startswith("{")]
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    def ask(self, path: str, host: str = "streamflow-api") -> Any:
        """An answer of the API, asked from the `feast` pod."""
        code = (
            "import sys, urllib.request as r;"
            f"sys.stdout.write(r.urlopen('http://{host}{path}', timeout=10).read().decode())"
        )
        return json.loads(
            self.kubectl("exec", "deploy/streamflow-feast", "--", "python", "-c", code)
        )

    def run_pod(self, name: str, *command: str, env: dict[str, str] | None = None) -> None:
        """Starts a restricted pod of the jobs image that runs `command` once."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "main",
                        "image": f"streamflow-jobs:{self.images.jobs}",
                        "command": list(command),
                        "env": [{"name": key, "value": text} for key, text in (env or {}).items()],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(pod))

    def finished(self, name: str, timeout: float = 300) -> str:
        """What a pod printed, once it has ended well."""
        phase = until(
            lambda: self.get("pod", name)["status"].get("phase"),
            lambda phase: phase in ("Succeeded", "Failed"),
            timeout,
        )
        said = self.kubectl("logs", name)
        assert phase == "Succeeded", said
        return said

    def load(self, rate: float, seconds: float) -> Callable[[], dict[str, Any]]:
        """Starts a bounded load on the API from inside; call the result for its summary."""
        name = f"load-{uuid.uuid4().hex[:6]}"
        url = "http://streamflow-api/features/0002-ORFBO"
        self.run_pod(name, "python", "-c", LOAD, url, str(rate), str(seconds))
        self.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")

        def summary() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(self.finished(name, seconds + 120).splitlines()[-1])
            return found

        return summary


def until(look: Callable[[], Any], good: Callable[[Any], bool], timeout: float) -> Any:
    """What `look` gives once it is good."""
    give_up = time.monotonic() + timeout
    while True:
        found = look()
        if good(found):
            return found
        if time.monotonic() > give_up:
            raise AssertionError(f"after {timeout:.0f} s still: {found}")
        time.sleep(1)


def make_namespace(cluster: Cluster, images: Images, prefix: str) -> Namespace:
    """A new namespace that enforces the restricted pod security standard."""
    name = f"{prefix}-{uuid.uuid4().hex[:5]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, RESTRICTED)
    return Namespace(cluster, images, name)


@pytest.fixture(scope="module")
def namespace(
    cluster: Cluster, images: Images, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace for a module's tests, in which they follow on each other."""
    found = make_namespace(cluster, images, request.module.__name__.replace("_", "-"))
    request.session.stash[NAMESPACE] = found
    yield found
    cluster.kubectl("delete", "namespace", found.name, "--wait=false")


NAMESPACE = pytest.StashKey[Namespace]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Adds to a failure what the namespace looks like: pods, events and last logs."""
    report = yield
    found = item.session.stash.get(NAMESPACE, None)
    if report.failed and found is not None and "namespace" in getattr(item, "fixturenames", ()):
        report.sections.append(("cluster", state(found)))
    return report


def state(namespace: Namespace) -> str:
    """Pods, events and the last lines of each pod, as far as they can be had."""
    commands = [
        ["get", "pods,jobs", "--output", "wide"],
        ["get", "events", "--sort-by=.lastTimestamp"],
    ]
    said = []
    try:
        pods = [one["metadata"]["name"] for one in namespace.get("pods")["items"]]
        commands += [["describe", "pod", pod] for pod in pods]
        commands += [["logs", pod, "--all-containers", "--tail=30"] for pod in pods]
    except (CommandFailedError, OSError) as error:
        said.append(str(error))
    for command in commands:
        try:
            said.append(f"$ kubectl {' '.join(command)}\n{namespace.kubectl(*command)[-6000:]}")
        except (CommandFailedError, OSError) as error:
            said.append(str(error))
    return "\n".join(said)
