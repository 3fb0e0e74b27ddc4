"""Manifests of pods that are none of a release's, as the restricted standard wants them."""

from typing import Any

from kit.cluster import POSTGRES_IMAGE

SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
LEAST = {"requests": {"cpu": "50m"}}
"""A pod that asks for nothing stands still for seconds while the Jobs of a release start."""


def restricted(
    name: str, container: dict[str, Any], volume: dict[str, Any], user: int, node: str = ""
) -> dict[str, Any]:
    """A pod with one container `main` and one volume `volume`, run as `user`.

    Args:
        name: its name, and its label `app`.
        container: what else the container has.
        volume: what else the volume has; none is made when it is empty.
        user: number of the user.
        node: where it has to run; empty: anywhere.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            **({"nodeName": node} if node else {}),
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "fsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [{"name": "volume", **volume}] if volume else [],
            # A policy lets a new pod in a moment after it has got its address.
            "initContainers": [
                {
                    "name": "settle",
                    "image": container["image"],
                    "command": ["sleep", "2"],
                    "securityContext": SECURITY,
                }
            ],
            "containers": [
                {"name": "main", "securityContext": SECURITY, "resources": LEAST, **container}
            ],
        },
    }


def postgres(name: str) -> dict[str, Any]:
    """A PostgreSQL whose data goes with it; its password is in the Secret `name`."""
    password = {"secretKeyRef": {"name": name, "key": "password"}}
    container = {
        "image": POSTGRES_IMAGE,
        "env": [
            {"name": "POSTGRES_USER", "value": "streamflow"},
            {"name": "POSTGRES_DB", "value": "streamflow"},
            {"name": "POSTGRES_PASSWORD", "valueFrom": password},
        ],
        "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}},
        "volumeMounts": [{"name": "volume", "mountPath": "/var/lib/postgresql"}],
    }
    return restricted(name, container, {"emptyDir": {}}, user=999)
