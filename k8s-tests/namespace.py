"""A namespace of the test cluster: what a person does there with kubectl and helm."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import CHART, Cluster, CommandFailedError, Images

API_VERSIONS = {
    "CronJob": "batch/v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Job": "batch/v1",
    "StatefulSet": "apps/v1",
}
"""Of the kinds that are not in v1."""
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
LOAD = Path(__file__).with_name("load.py").read_text()


@dataclass
class Namespace:
    """A namespace that admits only restricted pods, and what happens in it."""

    cluster: Cluster
    images: Images
    name: str

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Runs kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *arguments, **options)

    def get(self, kind: str, name: str | None = None, selector: str | None = None) -> Any:
        """An object, or the list of all of a kind, as the API server has it."""
        found = self.cluster.api.resources.get(kind=kind, api_version=API_VERSIONS.get(kind, "v1"))
        objects = found.get(namespace=self.name, name=name, label_selector=selector).to_dict()
        return objects if name else objects["items"]

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
        return {one["metadata"]["name"]: one for one in self.get("Job")}

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

    def run_pod(self, name: str, *command: str, claim: str = "", node: str = "") -> None:
        """Starts a restricted pod of the jobs image; a claim is mounted at /volume."""
        volume = [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                **({"nodeName": node} if node else {}),
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "fsGroup": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumes": volume if claim else [],
                "containers": [
                    {
                        "name": "main",
                        "image": f"streamflow-jobs:{self.images.jobs}",
                        "command": list(command),
                        "volumeMounts": (
                            [{"name": "volume", "mountPath": "/volume"}] if claim else []
                        ),
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
            lambda: self.get("Pod", name)["status"].get("phase"),
            lambda phase: phase in ("Succeeded", "Failed"),
            timeout,
        )
        said = self.kubectl("logs", name)
        assert phase == "Succeeded", said
        return said

    def load(self, rate: float, seconds: float, node: str = "") -> Callable[[], dict[str, Any]]:
        """Starts a bounded load on the API from inside; call the result for its summary."""
        name = f"load-{uuid.uuid4().hex[:6]}"
        url = "http://streamflow-api/features/0002-ORFBO"
        self.run_pod(name, "python", "-c", LOAD, url, str(rate), str(seconds), node=node)
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


def state(namespace: Namespace) -> str:
    """Pods, events and the last lines of each pod, as far as they can be had."""
    commands = [
        ["get", "pods,jobs", "--output", "wide"],
        ["get", "events", "--sort-by=.lastTimestamp"],
    ]
    said = []
    try:
        pods = [one["metadata"]["name"] for one in namespace.get("Pod")]
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
