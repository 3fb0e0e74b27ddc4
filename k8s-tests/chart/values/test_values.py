"""Values, schema, README and templates agree, value by value."""

import json
import re
import subprocess
from collections import ChainMap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kit.render import CHART, EXAMPLES, EXTERNAL, FULL, LAKE, SPARK, require, template

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
ROW = re.compile(r"^\| ([a-z]\S*) \| \w+ \| (.*?) \| (.*) \|$", re.MULTILINE)
DOCUMENTED = {key: text for key, _, text in ROW.findall((CHART / "README.md").read_text())}
"""The README's table, which helm-docs makes of the comments in values.yaml."""

FREE = {
    "alertLabels",
    "amounts",
    "annotations",
    "container",
    "files",
    "global",
    "labels",
    "manifest",
    "matchLabels",
    "metadata",
    "parameters",
}
"""Keys whose value is Kubernetes', PostgreSQL's or a person's files, and taken as it is."""
FREELY = "As Kubernetes has it."
"""The description in the schema of a part of such a value that may be anything."""

ITEMS: dict[str, Any] = {
    "accessModes": "ReadWriteMany",
    "backfills": {"force": True},
    "disabled": "StreamflowSlow",
    "initContainers": {"name": "witness", "image": "witness"},
    "sidecars": {"name": "witness", "image": "witness"},
    "datasets": {"asOf": "2024-02-29"},
    "envFrom": {"secretRef": {"name": "witness"}},
    "extraEnv": {"name": "WITNESS", "value": "1"},
    "extraEnvFrom": {"secretRef": {"name": "witness"}},
    "extraObjects": {"kind": "Witness", "metadata": {"name": "witness"}},
    "extraVolumeMounts": {"name": "tmp", "mountPath": "/witness"},
    "hosts": "witness.example.com",
    "to": {"podSelector": {"matchLabels": {"app": "witness"}}},
    "keys": "witness.py",
    "ports": 7443,
    "months": {"asOf": "2024-04-30", "source": "url", "url": "s3://witness"},
}
"""Items to add to a list of that name to see if it is used; {"name": "witness"} for others."""

OTHER: dict[str, Any] = {
    "activeDeadlineSeconds": 7201,
    "jobs.materialize.from": "lake",
    "cpu": "600m",
    "memory": "3Gi",
    "ratio": 0.5,
    "schedule": "@weekly",
    "repository": "https://witness.example.com/shop.git",
    "shmSize": "300Mi",
    "size": "7Gi",
    "timeZone": "Asia/Tokyo",
}
"""Another value of a key, or at a path, whose values are compared or computed with."""

WITHOUT_SESSIONS = {
    "prefect.enabled": False,
    "prefect.deployments.enabled": False,
    "jobs.backup.enabled": False,
    "jobs.restore.backup": "",
    "jobs.restore.request": "",
}
"""Values without the parts that cannot work behind a pooler in transaction mode."""
POOLED = {**WITHOUT_SESSIONS, "postgres.external.pooler.mode": "transaction"}

OWN = {
    "definitions.files": dict.fromkeys(
        ("feature_store.yaml", "definitions.py", "snapshots.py"), ""
    ),
    "api.defaultService": "shop_v1",
}
"""A feature repository of one's own, and one in a ConfigMap that is there."""
EXISTING = {
    "definitions.existingConfigMap": "team",
    "definitions.keys": list(OWN["definitions.files"]),
    "api.defaultService": "shop_v1",
}
SHOP_IMAGE: dict[str, Any] = {
    "definitions.image.repository": "registry.example.com/shop",
    "definitions.image.tag": "1",
    "api.defaultService": "shop_v1",
}
SHOP_GIT: dict[str, Any] = {
    "definitions.git.repository": "https://git.example.com/shop.git",
    "definitions.git.commit": "12" * 20,
    "api.defaultService": "shop_v1",
}
"""The same in an image, and in git."""

SPARK_VALUES = [
    *("image.repository", "image.tag", "image.digest", "executors", "cores", "cpu", "memory"),
    *("waitSeconds", "conf", "serviceAccount.annotations"),
]

NEEDS: dict[str, dict[str, Any]] = {
    "definitions.files": OWN,
    "definitions.existingConfigMap": EXISTING,
    "definitions.keys": EXISTING,
    "definitions.revision": EXISTING,
    "feast.tolerations": {
        "feast.enabled": True,
        "jobs.trainingSet.datasets": [],
        "prefect.deployments.enabled": False,
    },
    "explorer.showKeys": {"api.auth.existingSecret": "api-keys"},
    "prefect.enabled": {"prefect.deployments.enabled": False},
    "postgres.parameters": {"prefect.deployments.enabled": False},
    **{f"definitions.image.{key}": SHOP_IMAGE for key in ("repository", "tag", "path")},
    "definitions.image.digest": SHOP_IMAGE,
    **{
        f"definitions.git.{key}": SHOP_GIT
        for key in ("commit", "ref", "path", "existingSecret", "to")
    },
    "definitions.git.repository": SHOP_GIT,
    "jobs.backup.enabled": {"jobs.restore.backup": "", "jobs.restore.request": ""},
    "jobs.nodeSelector": {"feast.enabled": False},
    "api.replicaCount": {"api.autoscaling.enabled": False},
    "postgres.external.ca.key": {"postgres.external.ca.secret": "ca"},
    "networkPolicy.postgres.cidr": EXTERNAL,
    "jobs.lake.envFrom": {"jobs.lake.url": "file:///lake"},
    "jobs.materialize.from": {"jobs.lake.url": "file:///lake"},
    "jobs.spark.enabled": LAKE,
    **{f"jobs.spark.{key}": SPARK for key in SPARK_VALUES},
    "networkPolicy.kubernetes.ports": SPARK,
    "networkPolicy.kubernetes.to": SPARK,
    "api.postgres.readHost": EXTERNAL,
    "api.postgres.readHostKey": EXTERNAL,
    **{
        f"api.postgres.{key}": {**EXTERNAL, "api.postgres.readHost": "replica"}
        for key in ("readPort", "maxLagSeconds")
    },
    "postgres.external.pooler.mode": WITHOUT_SESSIONS,
    "postgres.external.pooler.direct.host": POOLED,
    "postgres.external.pooler.direct.port": {
        **POOLED,
        "postgres.external.pooler.direct.host": "db",
    },
}
"""Other values that have to be set before the value at a path has an effect."""


def leaves(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The documented values in `values`; what holds them together is checked on the way."""
    assert schema["type"] == "object", path
    assert schema["additionalProperties"] is False, path
    known = schema["properties"].keys() - ({"global"} if not path else set())
    assert known == values.keys(), path
    for key, value in values.items():
        below = f"{path}.{key}" if path else key
        if below in DOCUMENTED:
            assert schema["properties"][key]["description"] == DOCUMENTED[below], below
            yield below
        else:
            assert isinstance(value, dict), f"{below} is not documented"
            yield from leaves(value, schema["properties"][key], below)


def at(path: str) -> Any:
    """Returns the default of the value at `path`."""
    value: Any = VALUES
    for key in path.split("."):
        value = value[key]
    return value


def changed(path: str, value: Any) -> Any:
    """Another value of the same kind."""
    key = path.split(".")[-1]
    if (other := OTHER.get(path, OTHER.get(key))) is not None:
        return other
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"witness{value}"
    if isinstance(value, list):
        return [*value, ITEMS.get(key, {"name": "witness"})]
    return {**value, "WITNESS": "1"}


def subschemas(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named schema in a schema."""
    for group in ("properties", "definitions"):
        for key, value in schema.get(group, {}).items():
            yield key, value
            yield from subschemas(value)
    yield from subschemas(schema["items"]) if "items" in schema else ()


def test_every_value_is_documented_and_in_the_schema_and_the_other_way_round() -> None:
    assert set(leaves(VALUES, SCHEMA)) == DOCUMENTED.keys()


@pytest.mark.slow  # helm, once for each value
def test_every_value_is_used() -> None:
    with ThreadPoolExecutor() as pool:
        used = dict(zip(DOCUMENTED, pool.map(is_used, DOCUMENTED), strict=True))
    assert [path for path in used if not used[path]] == []


def is_used(path: str) -> bool:
    """True if another value at `path` gives other manifests."""
    before, after = with_another(path)
    return after != before


def with_another(path: str) -> tuple[str, str]:
    """The manifests of values for which the one at `path` matters, and of another one there."""
    external = EXTERNAL if path.startswith("postgres.external.") else {}
    base = dict(ChainMap(NEEDS.get(path, {}), external, FULL))
    other = {path: changed(path, base.get(path, at(path)))}
    after = template({**base, **other}, "--skip-schema-validation")
    return rendered(json.dumps(base)), after


@cache
def rendered(values: str) -> str:
    """The manifests of `values` (JSON)."""
    return template(json.loads(values))


def test_every_value_that_a_template_reads_is_declared() -> None:
    for file in (CHART / "templates").rglob("*.*"):
        for path in re.findall(r"\.Values\.([A-Za-z.]+)", file.read_text()):
            assert at(path) is not None, (file.name, path)


def described(schema: dict[str, Any]) -> str:
    """The description of a schema, or of the definition that it refers to."""
    while "description" not in schema and "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return str(schema.get("description", ""))


def test_every_key_is_described_and_every_object_closed() -> None:
    for name, schema in subschemas(SCHEMA):
        assert described(schema), name
        if schema.get("type") == "object" and name not in FREE and described(schema) != FREELY:
            assert schema["additionalProperties"] is False, name


@pytest.mark.parametrize("values", [CHART / "values.yaml", *EXAMPLES], ids=lambda path: path.stem)
def test_the_schema_is_valid_and_takes_the_values_that_come_with_it(values: Path) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    partial = json.loads(json.dumps(SCHEMA), object_hook=without_required)
    jsonschema.validate(without_nulls(yaml.safe_load(values.read_text())), partial)


def without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    """Values as Helm has them: a null takes its key out."""
    return {
        key: without_nulls(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def without_required(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a schema without required keys, as an example leaves them to values.yaml."""
    return {key: value for key, value in schema.items() if key != "required"}


def test_the_readme_is_what_helm_docs_makes() -> None:
    require("helm-docs", always=False)
    made = subprocess.run(
        ["helm-docs", "--chart-search-root", CHART, "--sort-values-order", "file", "--dry-run"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    remake = "helm-docs --chart-search-root charts/streamflow --sort-values-order file"
    assert made.stdout.strip() == (CHART / "README.md").read_text().strip(), f"run: {remake}"
