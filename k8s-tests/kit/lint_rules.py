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
MEANT = ("emptyDir", "namespaceSelector", "podSelector")
"""Keys for which an empty map has a meaning."""
NAMES = ("name", "secretName", "claimName")
"""Keys under which a reference may have the name."""


def lint(manifests: list[Manifest], values: Any) -> list[str]:
    """Lists the faults of these manifests, a line each; objects named in `values` exist already."""
    there = {f"{one['kind']}/{one['metadata']['name']}" for one in manifests}
    found = [*of_services(manifests), *of_targets(manifests, there), *of_empties(manifests)]
    given = set(texts(values))
    for name, pod in pods(manifests).items():
        for fault in (*of_references(pod["spec"], there, given), *of_pod(pod["spec"])):
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
    """Ports of Services that no pod behind them has; Services that nothing watches by this name."""
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


def of_targets(manifests: list[Manifest], there: set[str]) -> Iterator[str]:
    """Autoscalers and Ingresses of what there is not."""
    for name, one in named(manifests, "HorizontalPodAutoscaler").items():
        target = one["spec"]["scaleTargetRef"]
        if f"{target['kind']}/{target['name']}" not in there:
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
    """Lists and maps without anything, of which the server keeps none: each apply is a change."""
    if isinstance(part, dict):
        for key, value in part.items():
            if value in (None, [], {}) and key not in MEANT:
                yield f"{path}.{key} is empty"
            yield from of_empties(value, f"{path}.{key}")
    elif isinstance(part, list):
        for index, one in enumerate(part):
            yield from of_empties(one, f"{path}[{index}]")


def of_references(spec: Manifest, there: set[str], given: set[str]) -> Iterator[str]:
    """Accounts, Secrets, ConfigMaps and claims that neither the release nor the values have."""
    account = spec.get("serviceAccountName", "default")
    if account != "default" and f"ServiceAccount/{account}" not in there and account not in given:
        yield f"there is no ServiceAccount {account}"
    for key, reference in references(spec):
        name = next(reference[one] for one in NAMES if one in reference)
        if f"{KINDS[key]}/{name}" not in there and name not in given:
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


def of_pod(spec: Manifest) -> Iterator[str]:
    """Rights on the cluster and on the node, and what its containers have."""
    if spec.get("automountServiceAccountToken") is not False:
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
    """Images that change, probes of nothing, ports of others, secrets that anybody reads."""
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


def labels(one: Manifest) -> dict[str, str]:
    """The labels of an object."""
    found: dict[str, str] = one["metadata"]["labels"]
    return found


def ports(container: Manifest) -> set[str | int]:
    """Names and numbers of a container's ports."""
    return {
        port[key]
        for port in container.get("ports", [])
        for key in ("name", "containerPort")
        if key in port
    }
