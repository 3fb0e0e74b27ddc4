"""The example with CloudNativePG: its cluster is a valid one, and its values name what it makes."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kit.render import CHART, KUBERNETES, Manifest, helm, named, notes, parsed, pods

VALUES = CHART / "examples" / "cnpg.yaml"
SCHEMA = json.loads(Path(__file__).with_name("cnpg_cluster.schema.json").read_text())
"""Of release 1.30.0; made by cnpg_schema.py."""


@pytest.fixture(scope="module")
def cluster() -> Manifest:
    """The manifest of the database."""
    text = (CHART / "examples" / "cnpg" / "cluster.yaml").read_text()
    (found,) = parsed(text)
    return found


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    """The release with the example's values and no others."""
    done = helm("template", "streamflow", CHART, "--kube-version", KUBERNETES, "--values", VALUES)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def test_the_cluster_is_valid_by_the_operator_s_own_schema(cluster: Manifest) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(cluster, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "instances"), 0),
        (("spec", "instances"), "3"),
        (("spec", "bootstrap", "initdb", "bultinLocale"), "C.UTF-8"),
        (("spec", "postgresql", "parameters", "max_connections"), 150),
        (("spec", "imagename"), "postgres"),
    ],
)
def test_another_cluster_would_not_be(cluster: Manifest, path: tuple[str, ...], value: Any) -> None:
    changed = deepcopy(cluster)
    parent = changed
    for one in path[:-1]:
        parent = parent[one]
    parent[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA)


def test_the_values_name_what_the_operator_makes_of_the_cluster(
    cluster: Manifest, manifests: list[Manifest]
) -> None:
    name, spec = cluster["metadata"]["name"], cluster["spec"]
    (api,) = pods(manifests)["Deployment/streamflow-api"]["spec"]["containers"]
    variables = {one["name"]: one for one in api["env"]}
    assert variables["PGHOST"]["value"] == f"{name}-rw"
    assert variables["PGDATABASE"]["value"] == spec["bootstrap"]["initdb"]["database"]
    for variable, key in (("PGUSER", "username"), ("PGPASSWORD", "password")):
        assert variables[variable]["valueFrom"]["secretKeyRef"] == {
            "name": f"{name}-app",
            "key": key,
        }
    assert variables["PGSSLMODE"]["value"] == "verify-full"
    settings = named(manifests, "ConfigMap")["streamflow-api"]["data"]
    assert settings["STREAMFLOW_API_READ_HOST"] == f"{name}-ro"
    volumes = pods(manifests)["Deployment/streamflow-api"]["spec"]["volumes"]
    assert {"name": "postgres-ca", "secret": {"secretName": f"{name}-ca"}} in volumes


def test_the_cluster_takes_the_connections_of_the_release(
    cluster: Manifest, tmp_path: Path
) -> None:
    told = notes(tmp_path, {}, "--values", VALUES)
    (line,) = [one for one in told.splitlines() if one.endswith(" connections")]
    most = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    assert int(line.split()[-2]) < most - 10
