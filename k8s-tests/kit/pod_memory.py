"""Memory of a release's pods over time, as their nodes count it."""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kit.namespace import Namespace

READ = """
    cd /sys/fs/cgroup; [ ! -d memory ] || cd memory
    while sleep 1; do
        for pod in kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-*.slice/*pod*.slice; do
            echo "$pod $(awk '/^(total_rss|total_shmem|anon|shmem) / {held[$1] = $2} END {
                print ("total_rss" in held ? held["total_rss"] + held["total_shmem"] \\
                                           : held["anon"] + held["shmem"])}' "$pod/memory.stat")"
        done 2>/dev/null
    done"""
"""Prints each second what every pod of a node holds that cannot be given back: neither files that
are cached nor what the kernel keeps. The second version of control groups has other names."""
IN_NODE = ("docker", "exec")
OF_THE_RELEASE = "app.kubernetes.io/instance=streamflow"
MIB = 2**20


@dataclass
class PodMemory:
    """Bytes that the pods of a namespace held, each second."""

    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By pod: seconds from the beginning, and bytes; a pod that ended keeps its points."""
    limits: dict[str, int] = field(default_factory=dict)
    """By pod: the limit of its containers together, as bytes."""
    jobs: dict[str, str] = field(default_factory=dict)
    """By pod, of those that a Job has: its name."""

    def peaks(self) -> dict[str, float]:
        """The most that each pod held, in MiB."""
        return {name: max(held for _, held in line) / MIB for name, line in self.points.items()}


@contextmanager
def measured(namespace: Namespace) -> Iterator[PodMemory]:
    """Measures as long as it is open."""
    found, names, began, ended = PodMemory(), dict[str, str](), time.monotonic(), threading.Event()
    readers = [
        subprocess.Popen([*IN_NODE, node, "sh", "-c", READ], stdout=subprocess.PIPE, text=True)
        for node in namespace.cluster.nodes()
    ]

    def look() -> None:
        while not ended.wait(1):
            for one in namespace.get("Pod", selector=OF_THE_RELEASE):
                names[one["metadata"]["uid"]] = note(found, one)

    def follow(reader: "subprocess.Popen[str]") -> None:
        for line in reader.stdout or ():
            pod, _, held = line.partition(" ")
            uid = pod.removesuffix(".slice").rpartition("-pod")[2].replace("_", "-")
            if name := names.get(uid):
                point = (time.monotonic() - began, float(held or 0))
                found.points.setdefault(name, []).append(point)

    with ThreadPoolExecutor() as pool:
        pool.submit(look)
        pool.map(follow, readers)
        try:
            yield found
        finally:
            ended.set()
            for reader in readers:
                reader.kill()
    for reader in readers:
        reader.communicate()


def note(memory: PodMemory, pod: dict[str, Any]) -> str:
    """Notes whose pod it is and how much it may hold; gives its name."""
    name: str = pod["metadata"]["name"]
    memory.limits[name] = sum(map(limit, pod["spec"]["containers"]))
    if job := pod["metadata"]["labels"].get("batch.kubernetes.io/job-name"):
        memory.jobs[name] = job
    return name


def limit(container: dict[str, dict[str, dict[str, str]]]) -> int:
    """A container's limit of memory in bytes; the chart writes it in Mi or Gi."""
    text = container["resources"]["limits"]["memory"]
    return int(text[:-2]) * {"Mi": MIB, "Gi": 1024 * MIB}[text[-2:]]
