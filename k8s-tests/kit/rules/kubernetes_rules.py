"""Checks of manifests as by an API server: its schemas, and rules that no schema has."""

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from packaging.version import Version
from referencing import Registry, Resource

from kit.render import CHART, Manifest, containers, pods

SCHEMAS = files("kubernetes_validate") / "kubernetes-json-schema"
OF_OTHERS = ("monitoring.coreos.com/",)
"""Kinds whose schemas Kubernetes has not."""
LONGEST = {"CronJob": 52, "StatefulSet": 52, "Service": 63, "Job": 63}
"""Letters of a name, by kind; 253 for the others."""
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@cache
def versions() -> list[str]:
    """The minor versions that the chart allows and whose schemas there are, oldest first."""
    chart = (CHART / "Chart.yaml").read_text()
    oldest = re.search(r'kubeVersion: ">=([\d.]+)-0"', chart)
    assert oldest is not None
    names = {re.match(r"v([\d.]+)-local-strict$", one.name) for one in SCHEMAS.iterdir()}
    found = {one[1] for one in names if one and Version(one[1]) >= Version(oldest[1])}
    return sorted(found, key=Version)


@cache
def validator(version: str, name: str) -> Draft202012Validator:
    """The validator of the kind whose schema has this name."""
    folder = SCHEMAS / f"v{version}-local-strict"
    schema = json.loads((folder / f"{name}.json").read_text())
    return Draft202012Validator(schema, registry=definitions(version))


@cache
def definitions(version: str) -> Registry[Any]:
    """Returns the shared definitions that the schemas of a Kubernetes version refer to."""
    text = (SCHEMAS / f"v{version}-local-strict" / "_definitions.json").read_text()
    return Resource.from_contents(json.loads(text)) @ Registry()


def faults(manifests: list[Manifest], version: str) -> list[str]:
    """Lists the faults of these manifests, a line each."""
    found = [*of_schemas(manifests, version), *of_names(manifests), *of_selectors(manifests)]
    for one in manifests:
        claims = one.get("spec", {}).get("volumeClaimTemplates", [])
        mounted = [claim["metadata"]["name"] for claim in claims]
        for name, pod in pods([one]).items():
            found += [f"{name}: {fault}" for fault in of_pod(pod["spec"], mounted)]
    return [*found, *of_networks(manifests)]


def of_schemas(manifests: list[Manifest], version: str) -> Iterator[str]:
    """Lists unknown fields, and values of a wrong type."""
    for one in manifests:
        if one["apiVersion"].startswith(OF_OTHERS):
            continue
        group, _, number = one["apiVersion"].rpartition("/")
        name = "-".join(filter(None, (one["kind"].lower(), group.partition(".")[0], number)))
        for error in validator(version, name).iter_errors(one):
            path = ".".join(map(str, error.absolute_path))
            yield f"{one['kind']}/{one['metadata']['name']}: {path}: {error.message[:200]}"


def of_names(manifests: list[Manifest]) -> Iterator[str]:
    """Lists names that are too long, malformed or there twice, and malformed labels."""
    names = Counter((one["kind"], one["metadata"]["name"]) for one in manifests)
    for (kind, name), count in names.items():
        pattern = SERVICE_NAME if kind == "Service" else NAME
        if len(name) > LONGEST.get(kind, 253) or not pattern.fullmatch(name):
            yield f"{kind}/{name}: no name of this kind"
        if count > 1:
            yield f"{kind}/{name}: there {count} times"
    metadata = [(one["kind"], one["metadata"]) for one in manifests]
    metadata += [(name, pod["metadata"]) for name, pod in pods(manifests).items()]
    for what, one in metadata:
        for key, value in one.get("labels", {}).items():
            if len(value) > 63 or not LABEL_VALUE.fullmatch(value):
                yield f"{what}: label {key}: {value!r}"
        for key, value in one.get("annotations", {}).items():
            if not isinstance(value, str):
                yield f"{what}: annotation {key}: {value!r}"


def of_selectors(manifests: list[Manifest]) -> Iterator[str]:
    """Lists controllers that do not select their own pods, and Services and policies of no pod."""
    labels = [set(pod["metadata"]["labels"].items()) for pod in pods(manifests).values()]
    for one in manifests:
        spec, what = one.get("spec", {}), f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] in ("Deployment", "StatefulSet"):
            own = spec["template"]["metadata"]["labels"].items()
            if not spec["selector"]["matchLabels"].items() <= own:
                yield f"{what}: does not select its pods"
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }.get(one["kind"])
        if selector and not any(set(selector(spec).items()) <= each for each in labels):
            yield f"{what}: selects no pod"


def of_pod(spec: Manifest, claims: list[str]) -> Iterator[str]:
    """Lists a pod's duplicates, gaps and contradictions; `claims` are its controller's volumes."""
    every = containers({"spec": spec})
    yield from duplicates("container", [one["name"] for one in every])
    volumes = [*claims, *(one["name"] for one in spec.get("volumes", []))]
    yield from duplicates("volume", volumes)
    for container in every:
        name = container["name"]
        for field, key in (("env", "name"), ("volumeMounts", "mountPath"), ("ports", "name")):
            yield from duplicates(f"{name}.{field}", [one[key] for one in container.get(field, [])])
        ports = [one["containerPort"] for one in container.get("ports", [])]
        yield from duplicates(f"{name}.ports", ports)
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{name} mounts {mount['name']}, which is no volume"
        for variable in container.get("env", []):
            if "value" in variable and "valueFrom" in variable:
                yield f"{name}: {variable['name']} has two values"
        for probe in ("startupProbe", "livenessProbe"):
            if container.get(probe, {}).get("successThreshold", 1) != 1:
                yield f"{name}.{probe}: successThreshold"
        yield from of_resources(name, container.get("resources") or {})


def duplicates(kind: str, names: list[Any]) -> Iterator[str]:
    """Lists the names that are there more than once."""
    yield from (f"{kind} {name} twice" for name, count in Counter(names).items() if count > 1)


def of_resources(name: str, resources: Manifest) -> Iterator[str]:
    """Lists requests above limits, and requests of extended resources that equal no limit."""
    limits = resources.get("limits") or {}
    for key, request in (resources.get("requests") or {}).items():
        if key in limits and quantity(request) > quantity(limits[key]):
            yield f"{name}: requests {request} of {key}, limited to {limits[key]}"
        if "/" in key and (key not in limits or quantity(request) != quantity(limits[key])):
            yield f"{name}: requests {request} of {key} without the same limit"


def quantity(amount: Any) -> float:
    """An amount of Kubernetes as a number."""
    parts = re.fullmatch(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)([numkMGTPE]?i?)", str(amount))
    assert parts is not None, amount
    decimal = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
    if parts[2].endswith("i"):
        return float(parts[1]) * 1024 ** ("KMGTPE".index(parts[2][0]) + 1)
    return (
        float(f"{parts[1]}e{decimal[parts[2]]}") if "e" not in parts[1].lower() else float(parts[1])
    )


def of_networks(manifests: list[Manifest]) -> Iterator[str]:
    """Lists empty or ambiguous peers of NetworkPolicies; raises ValueError for an invalid CIDR."""
    for one in manifests:
        if one["kind"] != "NetworkPolicy":
            continue
        for direction, side in (("ingress", "from"), ("egress", "to")):
            rules = one["spec"].get(direction, [])
            for peer in (peer for rule in rules for peer in rule.get(side) or []):
                if not peer or ("ipBlock" in peer and len(peer) > 1):
                    yield f"{one['metadata']['name']}: {peer}"
                if cidr := peer.get("ipBlock", {}).get("cidr"):
                    ipaddress.ip_network(cidr, strict=False)
