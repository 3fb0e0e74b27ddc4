"""The pod that serves flows on Prefect's page: a container for each role, and the volume."""

from typing import Any

import pytest
from kit.render import EXTERNAL, Manifest, named, notes, pods, refusal, render

ON: dict[str, Any] = {"prefect.deployments.enabled": True}
SHARED = {**ON, "jobs.trainingSet.persistence.accessModes": ["ReadWriteMany"]}
DATASET = {"jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}]}
URL = "https://prefect.example.com/api"


def pod(values: dict[str, Any], name: str = "Deployment/streamflow-flows") -> Manifest:
    """The spec of the one pod whose name begins so."""
    (found,) = (one for full, one in pods(render(values)).items() if full.startswith(name))
    spec: Manifest = found["spec"]
    return spec


def containers(values: dict[str, Any]) -> dict[str, Manifest]:
    """The containers that serve flows, by name."""
    return {one["name"]: one for one in pod(values)["containers"]}


def variables(container: Manifest) -> dict[str, Any]:
    """The variables of a container: a value, or the Secret or the pod's field that it is from."""
    return {
        one["name"]: one.get("value")
        or next(each.get("name") or each["fieldPath"] for each in one["valueFrom"].values())
        for one in container["env"]
    }


def beside(spec: Manifest) -> list[str]:
    """The components on whose node a pod has to be."""
    terms = spec.get("affinity", {}).get("podAffinity", {})
    return [
        one["labelSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for one in terms.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    ]


def test_it_is_off_unless_asked_for_and_refused_without_prefect() -> None:
    for values in ({}, {**ON, "prefect.apiUrl": URL}):
        found = [name for name in pods(render(values)) if "flows" in name]
        assert found == (["Deployment/streamflow-flows"] if values else [])
    said = refusal({**ON, "prefect.enabled": False})
    assert "prefect.deployments is on, but there is no Prefect" in said
    assert "set prefect.enabled=true, or prefect.deployments.enabled=false" in said


def test_each_role_serves_the_flows_that_it_may_run() -> None:
    found = containers({**ON, "api.defaultService": "shop_v1"})
    flows = {
        name: [one for one in each["args"][3:] if one != "--flow"] for name, each in found.items()
    }
    assert flows == {
        "trainer": ["training-set"],
        "writer": ["materialize", "ingest-month", "audit"],
    }
    for role, one in found.items():
        assert one["args"][:3] == ["serve-flows", "--service", "shop_v1"]
        assert variables(one)["PGUSER"] == f"known-{role}"
    assert "--service" not in containers(ON)["trainer"]["args"]
    ports = {variables(one)["PREFECT_RUNNER_SERVER_PORT"] for one in found.values()}
    homes = {variables(one)["PREFECT_HOME"] for one in found.values()}
    assert len(ports) == len(homes) == 2  # they share the pod's network and /tmp
    alone = containers({**ON, **EXTERNAL})
    assert {variables(one)["PGPASSWORD"] for one in alone.values()} == {"known"}


def test_a_file_is_named_and_fetched_where_it_is() -> None:
    trainer, writer = containers(ON).values()
    assert trainer["workingDir"] == "/training"
    assert {"name": "training", "mountPath": "/training"} in trainer["volumeMounts"]
    assert "training" not in str(writer["volumeMounts"])
    claims = named(render(ON), "PersistentVolumeClaim")
    assert "streamflow-training" in claims
    fetch = variables(trainer)["STREAMFLOW_FETCH_COMMAND"]
    assert fetch.format(path="/training/a.csv", name="a.csv") == (
        "kubectl -n default exec deploy/streamflow-flows -c trainer -- \\\n"
        "  cat /training/a.csv > a.csv"
    )


def test_credentials_are_those_of_the_jobs_and_definitions_too() -> None:
    values = {
        **ON,
        "jobs.trainingSet.envFrom": [{"secretRef": {"name": "sets"}}],
        "jobs.ingest.envFrom": [{"secretRef": {"name": "months"}}],
        "jobs.extraEnv": [{"name": "PREFECT_API_KEY", "value": "k"}],
        "definitions.files": dict.fromkeys(("feature_store.yaml", "definitions.py"), ""),
        "image.pullSecrets": [{"name": "registry"}],
        "tracing.endpoint": "http://collector:4318",
    }
    found = containers(values)
    secrets = {name: one["envFrom"] for name, one in found.items()}
    assert secrets == {
        "trainer": [{"secretRef": {"name": "sets"}}],
        "writer": [{"secretRef": {"name": "months"}}],
    }
    for one in found.values():
        assert variables(one)["PREFECT_API_KEY"] == "k"
        assert variables(one)["STREAMFLOW_FEATURE_REPO"] == "/definitions"
        assert variables(one)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
        assert "/definitions/definitions.py" in str(one["volumeMounts"])
    spec = pod(values)
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["serviceAccountName"] == "streamflow-jobs"


def test_a_server_that_others_use_too_has_names_of_this_release() -> None:
    for one in containers({**ON, "prefect.apiUrl": URL}).values():
        assert one["args"][-2:] == ["--suffix", "default.streamflow"]
        assert variables(one)["PREFECT_API_URL"] == URL
    assert "--suffix" not in str(containers(ON))


def test_two_never_serve_at_once_and_an_end_is_waited_for() -> None:
    values = {**ON, "prefect.deployments.terminationGracePeriodSeconds": 77}
    spec = named(render(values), "Deployment")["streamflow-flows"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 77
    for one in containers(ON).values():
        assert variables(one)["STREAMFLOW_WAIT_S"] == "300"
        starts = one["startupProbe"]
        assert starts["periodSeconds"] * starts["failureThreshold"] > 300
        assert one["livenessProbe"]["exec"]["command"][-1].endswith("/run_count")


def test_a_password_that_changes_replaces_the_pod() -> None:
    def checksum(values: dict[str, Any]) -> str:
        (found,) = (one for name, one in pods(render(values)).items() if "flows" in name)
        return str(found["metadata"]["annotations"]["checksum/secret"])

    for role in ("trainer", "writer"):
        assert checksum({**ON, f"postgres.roles.{role}.rotation": 1}) != checksum(ON)
    assert checksum({**ON, "postgres.roles.reader.rotation": 1}) == checksum(ON)


@pytest.mark.parametrize(
    ("values", "flows", "job"),
    [
        (ON, ["feast"], ["feast"]),
        ({**ON, "feast.enabled": False}, [], ["flows"]),
        (SHARED, [], []),
    ],
    ids=["with feast", "alone", "a volume for many nodes"],
)
def test_who_mounts_the_volume_is_on_one_node(
    values: dict[str, Any], flows: list[str], job: list[str]
) -> None:
    assert beside(pod(values)) == flows
    assert beside(pod({**values, **DATASET}, "Job/streamflow-training-set-")) == job


def test_a_volume_for_one_pod_is_refused() -> None:
    modes = {"jobs.trainingSet.persistence.accessModes": ["ReadWriteOncePod"]}
    said = refusal({**ON, **modes, "feast.enabled": False})
    assert "the pod of prefect.deployments mounts the training sets" in said
    assert "or prefect.deployments.enabled=false" in said


def test_its_connections_and_amounts_are_counted() -> None:
    few = {"postgres.parameters.max_connections": 9}
    assert "may open 138; set it" in refusal(few)
    assert "may open 152; set it" in refusal({**ON, **few})
    assert render(ON)  # the default is enough
    amounts = {
        "prefect.deployments.resources": {
            "limits": {"memory": "1Mi"},
            "requests": {"memory": "2Mi"},
        }
    }
    assert "prefect.deployments.resources.requests.memory" in refusal({**ON, **amounts})
    probe = {"prefect.deployments.livenessProbe.successThreshold": 2}
    assert "prefect.deployments.livenessProbe.successThreshold" in refusal({**ON, **probe})


def test_the_notes_say_where_forms_are(tmp_path: Any) -> None:
    assert "http://127.0.0.1:4200/deployments" in notes(tmp_path / "on", ON)
    assert "/deployments" not in notes(tmp_path / "off")
    assert "on the page of deployments of https://prefect.example.com" in notes(
        tmp_path / "other", {**ON, "prefect.apiUrl": URL}
    )
