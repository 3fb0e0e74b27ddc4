"""A kind cluster with StreamFlow's images: for the tests, and for people as `make cluster`."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from kubernetes import config, dynamic

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "streamflow"
KIND_CONFIG = Path(__file__).with_name("kind.yaml")
POSTGRES_IMAGE = "postgres:18"
TOOLS = ("docker", "kind", "kubectl", "helm")
HELM = os.environ.get("HELM", "helm")
"""The Helm to use: `helm` or, where both majors are installed, `helm4`."""


class CommandFailedError(Exception):
    """A command ended with another code than 0; has its output."""


def run(*command: str | Path, timeout: float = 600, stdin: str | None = None) -> str:
    """Runs a command and gives its standard output.

    Raises:
        CommandFailedError: it failed; the message has all it printed.
    """
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        words = " ".join(map(str, command))
        raise CommandFailedError(f"{words}: code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def missing() -> str:
    """Returns the reason why there can be no cluster on this machine; empty when there can."""
    for tool in (*TOOLS, HELM):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    try:
        run("docker", "info", timeout=30)
    except CommandFailedError:
        return "docker does not answer"
    return ""


@dataclass(frozen=True)
class Images:
    """The tags of the images, each named by its content."""

    api: str
    explorer: str
    jobs: str

    @property
    def values(self) -> list[str]:
        """The images' tags as options of helm."""
        return [f"--set={part}.image.tag={tag}" for part, tag in asdict(self).items()]

    @property
    def names(self) -> list[str]:
        """The images' names with their tags."""
        return [f"streamflow-{part}:{tag}" for part, tag in asdict(self).items()]


def build() -> Images:
    """Builds the images that every release needs."""
    return Images(**{part: build_target(part) for part in ("api", "explorer", "jobs")})


def build_target(target: str) -> str:
    """Builds an image; gives its tag, which is of its content: another one has another name."""
    commit = run("git", "-C", ROOT, "describe", "--always", "--dirty=+", "--exclude=*").strip()
    command = ["docker", "build", "--quiet", "--file", str(ROOT / "images" / "Dockerfile")]
    command += ["--target", target, "--build-arg", f"COMMIT={commit}", str(ROOT)]
    image = run(*command, timeout=1800).strip()
    tag = f"kind-{image.removeprefix('sha256:')[:12]}"
    run("docker", "tag", image, f"streamflow-{target}:{tag}")
    return tag


@dataclass(frozen=True)
class Cluster:
    """A kind cluster by its name."""

    name: str

    @property
    def context(self) -> str:
        """Its name for kubectl and helm."""
        return f"kind-{self.name}"

    def exists(self) -> bool:
        """True if there is a kind cluster of this name."""
        return self.name in run("kind", "get", "clusters").split()

    def create(self) -> None:
        """Makes it unless it is there; takes a minute."""
        if not self.exists():
            config = ("--config", KIND_CONFIG, "--wait", "180s")
            run("kind", "create", "cluster", "--name", self.name, *config)

    def delete(self) -> None:
        """Removes it and its volumes."""
        run("kind", "delete", "cluster", "--name", self.name)

    def nodes(self) -> list[str]:
        """The names of its nodes, which are containers."""
        return sorted(run("kind", "get", "nodes", "--name", self.name).split())

    def load(self, *images: str) -> None:
        """Puts local images on the workers, which are alike, unless they are there."""
        workers = [node for node in self.nodes() if "worker" in node]
        node = workers[0]
        there = run("docker", "exec", node, "ctr", "--namespace", "k8s.io", "images", "list", "-q")
        tags = {name.rsplit("/", 1)[-1] for name in there.split()}
        if lacking := [image for image in images if image not in tags]:
            nodes = ("--nodes", ",".join(workers))
            run("kind", "load", "docker-image", "--name", self.name, *nodes, *lacking)

    def kubectl(self, *arguments: str, timeout: float = 300, stdin: str | None = None) -> str:
        """Runs kubectl on it."""
        return run("kubectl", "--context", self.context, *arguments, timeout=timeout, stdin=stdin)

    @cached_property
    def api(self) -> dynamic.DynamicClient:
        """A client of its API server."""
        return dynamic.DynamicClient(config.new_client_from_config(context=self.context))

    def helm(self, *arguments: str, timeout: float = 900) -> str:
        """Runs helm on it."""
        return run(HELM, "--kube-context", self.context, *arguments, timeout=timeout)

    def fill(self) -> Images:
        """Builds the images and puts them and PostgreSQL's on the nodes."""
        images = build()
        if not run("docker", "images", "--quiet", POSTGRES_IMAGE):
            run("docker", "pull", POSTGRES_IMAGE, timeout=1800)
        self.load(*images.names, POSTGRES_IMAGE)
        return images


def up(cluster: Cluster) -> None:
    """Sets up all from a clone to an answering API, and prints each step as it begins."""
    began = time.monotonic()

    def step(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", flush=True)

    step(f"cluster {cluster.name}: three nodes")
    cluster.create()
    run("kubectl", "config", "use-context", cluster.context)  # what is printed at the end needs it
    step("images: build and load")
    images = cluster.fill()
    step("chart: install, with two months of sample data, and wait for every job")
    laptop = ("--values", str(CHART / "examples" / "laptop.yaml"))
    options = ("--wait", "--wait-for-jobs", "--timeout", "10m", *images.values)
    said = cluster.helm("upgrade", "--install", "streamflow", str(CHART), *laptop, *options)
    step("done")
    print(said[said.index("NOTES:") :] if "NOTES:" in said else said)
    print(f"kubectl's context is {cluster.context}; `make cluster-down` removes it all.")


def main() -> int:
    """Runs the command `up` or `down`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--name", default="streamflow")
    options = parser.parse_args()
    if reason := missing():
        print(f"no cluster can be made here: {reason}", file=sys.stderr)
        return 2
    cluster = Cluster(options.name)
    try:
        up(cluster) if options.action == "up" else cluster.delete()
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
