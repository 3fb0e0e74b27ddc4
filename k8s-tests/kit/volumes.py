"""Volumes of a kind cluster, whose provisioner is started anew where it makes none any more."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.namespace import Namespace

PROVISIONER = ("deployment/local-path-provisioner", "--namespace=local-path-storage")
PATIENCE_S = 120
"""Seconds after which a volume is late: it takes five, on a busy machine twenty."""
WANTED = "volume.kubernetes.io/selected-node"
"""The annotation of a claim that a pod waits for, with the node that the volume has to be on."""


@contextmanager
def looked_after(namespace: "Namespace") -> Iterator[None]:
    """Looks once, if what is done takes long, whether the volumes of a namespace are there.

    In one of some hundred installations the provisioner was silent for ten minutes, alive and
    without a word in its log, until helm gave up.
    """
    timer = Timer(PATIENCE_S, look, [namespace])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def look(namespace: "Namespace") -> None:
    """Starts the provisioner anew if a claim waits for it; says so with the end of its log."""
    try:
        late = [
            one["metadata"]["name"]
            for one in namespace.get("PersistentVolumeClaim")
            if one["status"]["phase"] == "Pending"
            and WANTED in (one["metadata"].get("annotations") or {})
        ]
        if late:
            print(f"no volume for {', '.join(late)}; the provisioner said:", file=sys.stderr)
            print(namespace.cluster.kubectl("logs", *PROVISIONER, "--tail=10"), file=sys.stderr)
            namespace.cluster.kubectl("rollout", "restart", *PROVISIONER)
    except Exception as error:  # the namespace, or the cluster, may be gone meanwhile
        print(f"volumes not looked after: {error!r}", file=sys.stderr)
