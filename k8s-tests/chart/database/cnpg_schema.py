"""Writes the schema of CloudNativePG's clusters, which its releases have among much else.

    cd k8s-tests/chart/database
    python cnpg_schema.py cnpg-1.30.0.yaml > cnpg_cluster.schema.json

The file is `releases/cnpg-1.30.0.yaml` of https://github.com/cloudnative-pg/cloudnative-pg, which
is under the Apache License 2.0. Left out are descriptions, the status, and what JSON Schema does
not know; unknown fields, which a server would prune, are refused.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

CRD = "clusters.postgresql.cnpg.io"
OPEN = "x-kubernetes-preserve-unknown-fields"


def closed(schema: Any) -> Any:
    """A schema of Kubernetes without words, whose objects have no other members."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: closed(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes-")
        and not (key == "description" and value == str(value))
    }
    is_object = isinstance(found.get("properties"), dict) and found.get("type") == "object"
    if is_object and not schema.get(OPEN):
        found.setdefault("additionalProperties", False)
    return found


def cluster_schema(release: str) -> dict[str, Any]:
    """The schema of a Cluster in the manifests of a release."""
    documents = yaml.load_all(release, yaml.CSafeLoader)
    (crd,) = (one for one in documents if one and one["metadata"]["name"] == CRD)
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]
    found: dict[str, Any] = closed(schema)
    found["properties"]["metadata"] = {"type": "object"}
    comment = f"Made by cnpg_schema.py of {Path(sys.argv[1]).name} (Apache-2.0); see there."
    return {"$comment": comment, "$id": f"{CRD}/{version['name']}", **found}


if __name__ == "__main__":
    print(json.dumps(cluster_schema(Path(sys.argv[1]).read_text()), separators=(",", ":")))
