"""Checks of manifests that an API server takes and that do not work, as dangling references."""

import re
from collections.abc import Iterator
from typing import Any

from kit.render import Manifest, containers, named, pods

SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
KINDS = {
    "configMap": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "configMapRef": "ConfigMap",
    "persistentVolumeClaim": "PersistentVolumeClaim",
    "secret": "Secret",
    "secretKeyRef": "Secret",
    "secretRef": "Secret",
}
"""The kind of the object that a reference names, by the reference's key."""
MEANINGFUL_EMPTY = ("emptyDir", "namespaceSelector", "podSelector")
"""Keys for which an empty map has a meaning."""
NAMES = ("name", "secretName", "claimName")
"""Keys under which a reference may have the name."""


def lint(manifests: list[Manifest], values: Any) -> list[str]:
    """Lists the faults of these manifests, a line each; objects named in `values` exist already."""
    existing = {f"{one['kind']}/{one['metadata']['name']}" for one in manifests}
    found = [*of_services(manifests), *of_targets(manifests, existing), *of_empties(manifests)]
    mentioned = set(texts(values))
    roles = named(manifests, "RoleBinding").values()
    bound = {subject["name"] for one in roles for subject in one["subjects"]}
    for name, pod in pods(manifests).items():
        for fault in (
            *of_references(pod["spec"], existing, mentioned),
            *of_pod(pod["spec"], bound),
        ):
            found.append(f"{name}: {fault}")
    return found


def texts(values: Any) -> Iterator[str]:
    """All texts in values."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict | list):
        for one in values.values() if isinstance(values, dict) else values:
            yield from texts(one)


def of_services(manifests: list[Manifest]) -> Iterator[str]:
    """Lists ports of Services that no pod has, and ServiceMonitors whose port no Service has."""
    for name, service in named(manifests, "Service").items():
        selector = service["spec"]["selector"].items()
        behind = [pod for pod in pods(manifests).values() if selector <= labels(pod).items()]
        opened = set().union(*(ports(one) for pod in behind for one in containers(pod)))
        for port in service["spec"]["ports"]:
            if port.get("targetPort", port["port"]) not in opened:
                yield f"Service/{name}: no pod has the port {port.get('targetPort', port['port'])}"
    for name, monitor in named(manifests, "ServiceMonitor").items():
        selector = monitor["spec"]["selector"]["matchLabels"].items()
        for endpoint in monitor["spec"]["endpoints"]:
            seen = [
                one
                for one in named(manifests, "Service").values()
                if selector <= labels(one).items()
                and endpoint["port"] in {port.get("name") for port in one["spec"]["ports"]}
            ]
            if not seen:
                yield f"ServiceMonitor/{name}: no Service has the port {endpoint['port']}"


def of_targets(manifests: list[Manifest], existing: set[str]) -> Iterator[str]:
    """Lists autoscalers and Ingresses whose target does not exist."""
    for name, one in named(manifests, "HorizontalPodAutoscaler").items():
        target = one["spec"]["scaleTargetRef"]
        if f"{target['kind']}/{target['name']}" not in existing:
            yield f"HorizontalPodAutoscaler/{name}: there is no {target['kind']} {target['name']}"
    services = named(manifests, "Service")
    for name, one in named(manifests, "Ingress").items():
        for path in (path for rule in one["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            service = services.get(backend["name"], {"spec": {"ports": []}})
            known = {port.get(key) for port in service["spec"]["ports"] for key in ("name", "port")}
            if not known & set(backend["port"].values()):
                yield f"Ingress/{name}: there is no Service {backend['name']} with such a port"


def of_empties(part: Any, path: str = "") -> Iterator[str]:
    """Finds empty lists and maps: the server does not keep them, so that each apply is a change."""
    if isinstance(part, dict):
        for key, value in part.items():
            if value in (None, [], {}) and key not in MEANINGFUL_EMPTY:
                yield f"{path}.{key} is empty"
            yield from of_empties(value, f"{path}.{key}")
    elif isinstance(part, list):
        for index, one in enumerate(part):
            yield from of_empties(one, f"{path}[{index}]")


def of_references(spec: Manifest, existing: set[str], mentioned: set[str]) -> Iterator[str]:
    """Lists accounts, Secrets, ConfigMaps and claims that neither the release nor values have."""
    account = spec.get("serviceAccountName", "default")
    if (
        account != "default"
        and f"ServiceAccount/{account}" not in existing
        and account not in mentioned
    ):
        yield f"there is no ServiceAccount {account}"
    for key, reference in references(spec):
        name = next(reference[one] for one in NAMES if one in reference)
        if f"{KINDS[key]}/{name}" not in existing and name not in mentioned:
            yield f"there is no {KINDS[key]} {name}"


def references(part: Any) -> Iterator[tuple[str, Manifest]]:
    """Every reference in a part of a pod, with its key; none that may be missing."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in KINDS and isinstance(value, dict) and not value.get("optional"):
                yield key, value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for one in part:
            yield from references(one)


def of_pod(spec: Manifest, bound: set[str]) -> Iterator[str]:
    """Lists a pod's rights on cluster and node, and the faults of its containers.

    Args:
        bound: the ServiceAccounts that have a Role, for which a token is mounted.
    """
    has_token = spec.get("automountServiceAccountToken") is not False
    if has_token and spec.get("serviceAccountName") not in bound:
        yield "has a token of the API server"
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"mounts {volume['hostPath']['path']} of the node"
    if spec["securityContext"].get("sysctls"):
        yield "sets the node's sysctls"
    for container in containers({"spec": spec}):
        for fault in of_container(container):
            yield f"{container['name']}: {fault}"


def of_container(container: Manifest) -> Iterator[str]:
    """Lists a container's mutable image, dead probes, privileged ports and open secrets."""
    image = container["image"]
    if "@sha256:" not in image and image.rpartition("/")[2].partition(":")[2] in ("", "latest"):
        yield f"{image} is another image each time"
    for probe in (container[one] for one in PROBES if one in container):
        for action in (probe[one] for one in ("httpGet", "tcpSocket", "grpc") if one in probe):
            if action["port"] not in ports(container):
                yield f"a probe of port {action['port']}, which it does not have"
    for port in container.get("ports", []):
        if port["containerPort"] < 1024 or "hostPort" in port:
            yield f"takes port {port['containerPort']} of root or of the node"
    for variable in container.get("env", []):
        if SECRET.search(variable["name"]) and variable.get("value"):
            yield f"{variable['name']} is in the open"


def labels(manifest: Manifest) -> dict[str, str]:
    """The labels of an object."""
    found: dict[str, str] = manifest["metadata"]["labels"]
    return found


def ports(container: Manifest) -> set[str | int]:
    """Names and numbers of a container's ports."""
    return {
        port[key]
        for port in container.get("ports", [])
        for key in ("name", "containerPort")
        if key in port
    }
