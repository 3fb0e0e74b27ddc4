"""A namespace of the test cluster: what a person does there with kubectl and helm."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kit import pod
from kit.cluster import CHART, Cluster, CommandFailedError, Images
from kit.volumes import PROVISIONER, looked_after

API_VERSIONS = {
    "CronJob": "batch/v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "StatefulSet": "apps/v1",
}
"""The API versions of the kinds that are not in v1."""
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
READERS = {"features": "readers"}
"""Label of the namespaces whose pods may ask the API."""
MONTH = {"asOf": "2024-01-31", "source": "sample", "month": "month_000"}
SAMPLE = [
    *("--values", str(CHART / "examples" / "laptop.yaml")),
    *("--set-json", f"jobs.ingest.months={json.dumps([MONTH])}"),
    *("--set", "api.autoscaling.enabled=false", "--set", "api.replicaCount=1"),
    *("--set", "prefect.deployments.enabled=true"),
]
"""Options of helm for a release that several modules share."""
AFTERWARDS_S = 5
SETTLED_S = 20
"""Within which each node knows the pods of a Service."""
LOAD = Path(__file__).with_name("inside").joinpath("load.py").read_text()


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
        readers = json.dumps([{"namespaceSelector": {"matchLabels": READERS}}])
        with looked_after(self):
            return self.helm(
                *("upgrade", "--install", release, str(CHART), *waiting, *self.images.values),
                *("--set-json", f"networkPolicy.api.from={readers}", *options),
            )

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The Jobs by name."""
        return {one["metadata"]["name"]: one for one in self.get("Job")}

    def log(self, job: str) -> str:
        """Returns the log of the newest pod of a Job."""
        return self.kubectl("logs", f"job/{job}", "--all-containers=false")

    def logs(self, job: str) -> str:
        """Returns the logs of all containers of a Job's pods; those that never ran have none."""
        said = []
        for one in self.get("Pod", selector=f"batch.kubernetes.io/job-name={job}"):
            containers = one["spec"].get("initContainers", []) + one["spec"]["containers"]
            for container in containers:
                with suppress(CommandFailedError):
                    where = (one["metadata"]["name"], f"--container={container['name']}")
                    said.append(self.kubectl("logs", *where))
        return "\n".join(said)

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
        return json.loads(self.python("deploy/streamflow-feast", code))

    def run_pod(
        self,
        name: str,
        *command: str,
        claim: str = "",
        node: str = "",
        user: int = 10001,
        cpu: str = "50m",
    ) -> None:
        """Starts a restricted pod of the jobs image; a claim is mounted at /volume."""
        container: dict[str, Any] = {
            "image": f"streamflow-jobs:{self.images.jobs}",
            "command": list(command),
            "resources": {"requests": {"cpu": cpu}},
        }
        volume = {}
        if claim:
            volume = {"persistentVolumeClaim": {"claimName": claim}}
            container["volumeMounts"] = [{"name": "volume", "mountPath": "/volume"}]
        made = pod.restricted(name, container, volume, user, node)
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(made))

    def run_postgres(self, name: str, password: str) -> None:
        """Starts a PostgreSQL that is none of a release's, with Service and Secret, all `name`."""
        self.kubectl("create", "secret", "generic", name, f"--from-literal=password={password}")
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(pod.postgres(name)))
        self.kubectl("expose", "pod", name, "--port=5432")
        self.ready(f"pod/{name}")

    def ready(self, *resources: str, timeout: int = 180) -> None:
        """Waits until pods are ready, e.g. `pod/NAME` or `pod`, `--selector=…`."""
        # One that was deleted may not have been made anew yet.
        self.kubectl("wait", *resources, "--for=create", f"--timeout={timeout}s")
        self.kubectl("wait", *resources, "--for=condition=Ready", f"--timeout={timeout}s")

    def complete(self, job: str, timeout: int = 300) -> float:
        """Waits for a Job to end well; gives the seconds it took."""
        ends = ("Complete", "Failed")
        conditions = until(
            lambda: [
                one["type"]
                for one in self.get("Job", job)["status"].get("conditions", [])
                if one["type"] in ends
            ],
            bool,
            timeout,
        )
        assert conditions == ["Complete"], self.logs(job)
        status = self.get("Job", job)["status"]
        began, ended = (
            datetime.fromisoformat(status[one]) for one in ("startTime", "completionTime")
        )
        return (ended - began).total_seconds()

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """The URL on this machine that leads to a port, as long as it is used."""
        command = ["kubectl", "--context", self.cluster.context, "--namespace", self.name]
        forward = subprocess.Popen(
            [*command, "port-forward", target, f":{port}"], stdout=subprocess.PIPE, text=True
        )
        assert forward.stdout is not None
        try:
            yield f"http://{forward.stdout.readline().split()[2]}"  # Forwarding from HOST:PORT ->
        finally:
            forward.terminate()
            forward.wait(timeout=10)
            forward.stdout.close()

    def python(self, where: str, code: str, *arguments: str) -> str:
        """Runs Python code in the pod `where`, and returns its output.

        A pod that was just replaced has no container yet, and a Service whose pods just became
        ready refuses connections until every node knows them: both are waited for.
        """
        give_up = time.monotonic() + SETTLED_S

        def tried() -> str | None:
            try:
                return self.kubectl("exec", where, "--", "python", "-c", code, *arguments)
            except CommandFailedError as error:
                is_refused = "Connection refused" in str(error) and time.monotonic() < give_up
                if "container not found" in str(error) or is_refused:
                    return None
                raise

        found: str = until(tried, lambda said: said is not None, 60)
        return found

    def finished(self, name: str, timeout: float = 300) -> str:
        """Waits until a pod has ended well and returns its log."""
        phase = until(
            lambda: self.get("Pod", name)["status"].get("phase"),
            lambda phase: phase in ("Succeeded", "Failed"),
            timeout,
        )
        said = self.kubectl("logs", name)
        assert phase == "Succeeded", said
        return said

    def load(
        self, rate: float, seconds: float, node: str = "", host: str = "streamflow-api"
    ) -> Callable[..., dict[str, Any]]:
        """Starts a load on the API from inside, for so many seconds at most.

        Call the result for its summary: the load goes on for AFTERWARDS_S, which shows what a fault
        leaves behind, and ends; with `whole` it goes on for all its seconds.
        """
        name = f"load-{uuid.uuid4().hex[:6]}"
        url = f"http://{host}/features/0002-ORFBO"
        self.run_pod(
            name, "python", "-c", LOAD, url, str(rate), str(seconds), node=node, cpu="200m"
        )
        self.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")

        def summary(whole: bool = False) -> dict[str, Any]:
            if not whole:
                time.sleep(AFTERWARDS_S)
                with suppress(CommandFailedError):  # where its time was up already
                    self.kubectl("exec", name, "--", "touch", "/tmp/enough")
            found: dict[str, Any] = json.loads(self.finished(name, seconds + 120).splitlines()[-1])
            return found

        return summary


def until(look: Callable[[], Any], good: Callable[[Any], bool], timeout: float) -> Any:
    """Calls `look` every second until `good` accepts its result, and returns that result."""
    give_up = time.monotonic() + timeout
    while True:
        found = look()
        if good(found):
            return found
        if time.monotonic() > give_up:
            raise AssertionError(f"after {timeout:.0f} s still: {found}")
        time.sleep(1)


def make_namespace(cluster: Cluster, images: Images, prefix: str, reads: bool = True) -> Namespace:
    """A new namespace that enforces the restricted pod security standard.

    Its pods may ask the API of any release unless `reads` is False.
    """
    name = f"{prefix}-{uuid.uuid4().hex[:5]}"
    labels = [RESTRICTED, *(f"{key}={value}" for key, value in READERS.items() if reads)]
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, *labels)
    return Namespace(cluster, images, name)


def state(namespace: Namespace) -> str:
    """Pods, events, claims and the last lines of each pod, and what the cluster itself does."""
    commands = [
        ["get", "pods,jobs,persistentvolumeclaims", "--output", "wide"],
        ["get", "events", "--sort-by=.lastTimestamp"],
    ]
    said = []
    try:
        names = [one["metadata"]["name"] for one in namespace.get("Pod")]
        commands += [["describe", "pod", name] for name in names]
        commands += [["logs", name, "--all-containers", "--tail=30"] for name in names]
    except (CommandFailedError, OSError) as error:
        said.append(str(error))
    # Volumes are made by a pod of the cluster's own; a claim that stays open says nothing itself.
    commands += [
        ["describe", "persistentvolumeclaims"],
        ["get", "nodes,persistentvolumes,pods", "--all-namespaces", "--output", "wide"],
        ["logs", *PROVISIONER, "--tail=60"],
        ["get", "events", PROVISIONER[-1], "--sort-by=.lastTimestamp"],
    ]
    for command in commands:
        try:
            said.append(f"$ kubectl {' '.join(command)}\n{namespace.kubectl(*command)[-6000:]}")
        except (CommandFailedError, OSError) as error:
            said.append(str(error))
    return "\n".join(said)
