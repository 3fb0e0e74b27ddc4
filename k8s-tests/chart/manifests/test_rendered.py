"""Tests of the rendered chart: the parts, the Jobs' names, the notes."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from kit.render import (
    CHART,
    EXAMPLES,
    EXTERNAL,
    FULL,
    KUBERNETES,
    MONTHS,
    containers,
    helm,
    job_names,
    named,
    notes,
    pods,
    refusal,
    render,
    template,
)

EVERY = {"apply", "backfill", "backup-check", "ingest", "restore", "roles", "training-set"}
HELMS = pytest.mark.parametrize("tool", ["helm", "helm4"])


def in_order(argument: Any) -> str:
    """A test's argument in its name, the same in each of several processes."""
    return str(sorted(argument)) if isinstance(argument, set) else str(argument)


def identity(manifests: list[dict[str, Any]]) -> set[str]:
    return {f"{one['kind']}/{one['metadata']['name']}" for one in manifests}


def only_job(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one Job of this kind."""
    jobs = named(manifests, "Job")
    (name,) = [name for name in jobs if name.startswith(f"streamflow-{kind}-")]
    return jobs[name]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


@HELMS
@pytest.mark.parametrize(
    "example", [None, *EXAMPLES], ids=lambda path: path.stem if path else "default"
)
def test_it_renders_and_lints_with_no_values_and_with_every_example(
    tool: str, example: Path | None
) -> None:
    options = ("--values", example) if example else ()
    assert job_names(render(None, *options, tool=tool))
    done = helm("lint", "--strict", CHART, "--kube-version", KUBERNETES, *options, tool=tool)
    assert done.returncode == 0, done.stdout + done.stderr


@HELMS
def test_both_helms_render_the_same(tool: str) -> None:
    assert render(FULL, tool=tool) == render(FULL)


def test_the_same_values_give_the_same_manifests() -> None:
    assert template(FULL) == template(FULL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "renamed"),
    [
        ({"jobs.image.tag": "2"}, EVERY),
        ({"jobs.image.digest": f"sha256:{'1' * 64}"}, EVERY),
        ({"postgres.auth.database": "b"}, EVERY),
        ({"jobs.resources.limits.memory": "3Gi"}, EVERY),
        ({"jobs.apply.allowRemoval": True}, {"apply"}),
        ({"jobs.ingest.materialize": False}, {"ingest"}),
        ({"jobs.ingest.sample.seed": 8}, {"ingest", "training-set"}),
        ({"jobs.trainingSet.envFrom": [{"secretRef": {"name": "s3"}}]}, {"training-set"}),
        ({"jobs.materialize.backfills": [{"force": True}]}, {"backfill"}),
        ({"jobs.materialize.schedule": "0 4 1 * *", "jobs.backup.keep": 3}, set()),
        ({"jobs.backup.to": "s3://backups"}, {"backup-check", "restore"}),
        ({"jobs.restore.overwrite": True, "postgres.image.tag": "18.6"}, {"restore"}),
        ({"jobs.restore.request": "2026-11-29 volume lost again"}, {"restore"}),
        ({"api.image.tag": "2", "api.poolSize": 4, "feast.enabled": False}, {"training-set"}),
        ({"jobs.ingest.months": MONTHS[:1]}, {"ingest"}),  # the others are of later days
        ({"jobs.ingest.months": MONTHS[1:]}, {"ingest", "training-set"}),
        ({f"{part}.nodeSelector": {"disk": "fast"} for part in ("jobs", "feast")}, EVERY),
        ({"prefect.resources.limits.memory": "2Gi", "jobs.annotations": {"a": "b"}}, set()),
    ],
    ids=in_order,
)
def test_a_job_has_another_name_exactly_when_its_spec_is_another(
    values: dict[str, Any], renamed: set[str]
) -> None:
    before, after = job_names(render(FULL)), job_names(render({**FULL, **values}))
    pattern = re.compile(r"streamflow-([a-z-]+?)-[0-9a-f]{8}$")
    assert all(pattern.match(name) for name in before | after)
    assert {pattern.match(name)[1] for name in before ^ after} == renamed  # type: ignore[index]


def test_a_new_version_of_the_chart_alone_runs_no_job_and_restarts_no_pod(tmp_path: Path) -> None:
    chart = tmp_path / "streamflow"
    shutil.copytree(CHART, chart)
    text = (chart / "Chart.yaml").read_text().replace("\nversion: ", "\nversion: 1")
    (chart / "Chart.yaml").write_text(text)
    after = render(FULL, chart=chart)
    assert job_names(after) == job_names(render(FULL))
    assert (
        pods(after)["Deployment/streamflow-api"] == pods(render(FULL))["Deployment/streamflow-api"]
    )


@pytest.mark.parametrize("release", ["x", "a" * 53, f"streamflow-{'b' * 40}"])
def test_names_stay_within_what_kubernetes_takes(release: str) -> None:
    longest = {"CronJob": 52, "StatefulSet": 52, "Service": 63, "Job": 63, "Deployment": 63}
    manifests = render(FULL, release=release)
    for one in manifests:
        name = one["metadata"]["name"]
        assert len(name) <= longest.get(one["kind"], 253), name
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    names = [f"{one['kind']}/{one['metadata']['name']}" for one in manifests]
    assert len(names) == len(set(names))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "gone"),
    [
        ({"api.enabled": False}, "-api|-test"),
        ({"feast.enabled": False}, "-feast"),
        ({"prefect.enabled": False, "prefect.deployments.enabled": False}, "-prefect|-flows"),
        ({"prefect.deployments.enabled": False}, "-flows"),
        ({"prefect.apiUrl": "https://prefect.example.com/api"}, "-prefect"),
        ({"jobs.apply.enabled": False}, "-apply"),
        ({"jobs.materialize.enabled": False}, "-materialize"),
        ({"api.autoscaling.enabled": False}, "HorizontalPodAutoscaler"),
        ({"api.podDisruptionBudget.enabled": False}, "PodDisruptionBudget"),
        (EXTERNAL, "-postgres|StatefulSet|-roles"),
        ({"postgres.roles.create": False}, "-roles"),
        ({"jobs.trainingSet.persistence.existingClaim": "mine"}, "Claim/streamflow-training"),
        ({"jobs.backup.persistence.existingClaim": "mine"}, "Claim/streamflow-backups"),
        (
            {"jobs.backup.enabled": False, "jobs.restore.backup": "", "jobs.restore.request": ""},
            "-backup|-restore",
        ),
        ({"jobs.restore.backup": "", "jobs.restore.request": ""}, "-restore"),
        ({"networkPolicy.enabled": False}, "NetworkPolicy"),
        ({"api.serviceAccount.create": False}, "ServiceAccount/streamflow-api"),
    ],
    ids=in_order,
)
def test_what_is_switched_off_leaves_nothing_behind(values: dict[str, Any], gone: str) -> None:
    def without_hash(names: set[str]) -> set[str]:
        return {re.sub(r"-[0-9a-f]{8}$", "", name) for name in names}

    before, after = (without_hash(identity(render(one))) for one in (FULL, {**FULL, **values}))
    assert after < before
    assert before - after == {name for name in before if re.search(gone, name)}


def test_a_prefect_elsewhere_is_told_of_the_runs_and_none_is_when_it_is_off() -> None:
    url = "https://prefect.example.com/api"
    for values, expected in (({"prefect.apiUrl": url}, url), ({"prefect.enabled": False}, None)):
        rendered = render({**FULL, "prefect.deployments.enabled": False, **values})
        for kind in ("apply", "training-set"):
            pod = only_job(rendered, kind)["spec"]["template"]
            assert environment(pod["spec"]["containers"][0]).get("PREFECT_API_URL") == expected
            waits = kind != "apply" and expected is not None
            assert ("wait-for-prefect" in [one["name"] for one in containers(pod)]) == waits


def test_every_part_finds_an_external_server_and_verifies_it() -> None:
    ca = {"postgres.external.ca.configMap": "ca", "postgres.external.sslmode": "verify-full"}
    for name, pod in pods(render({**FULL, **EXTERNAL, **ca})).items():
        variables = environment(pod["spec"]["containers"][0])
        assert variables["PGHOST"] == "db.example.com", name
        assert variables["PGSSLMODE"] == "verify-full"
        known = {"secretKeyRef": {"name": "known", "key": "password"}}
        assert variables.get("PGPASSWORD") == (None if "-backup-check-" in name else known)
        (mount,) = [
            one
            for one in pod["spec"]["containers"][0]["volumeMounts"]
            if one["name"] == "postgres-ca"
        ]
        assert variables["PGSSLROOTCERT"] == f"{mount['mountPath']}/ca.crt"


def test_an_own_variable_replaces_the_charts() -> None:
    own = [{"name": "STREAMFLOW_WAIT_S", "value": "5"}]
    for name, pod in pods(render({**FULL, "jobs.extraEnv": own})).items():
        for container in pod["spec"]["containers"]:
            names = [one["name"] for one in container.get("env", [])]
            assert len(names) == len(set(names)), name
    job = only_job(render({"jobs.extraEnv": own}), "apply")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert environment(container)["STREAMFLOW_WAIT_S"] == "5"


def test_how_long_the_ledger_keeps_a_run_is_a_value() -> None:
    chosen = pods(render({**FULL, "jobs.keepRunsDays": 100}))
    told = {
        name: environment(container).get("STREAMFLOW_KEEP_RUNS_DAYS")
        for name, pod in chosen.items()
        for container in pod["spec"]["containers"]
    }
    assert {name for name, days in told.items() if days == "100"} >= {
        name for name in told if "-ingest-" in name or "-materialize" in name or "-feast" in name
    }
    assert "keepRunsDays" in refusal({"jobs.keepRunsDays": 30})


def test_how_long_a_contract_is_answered_is_a_value_of_apply_alone() -> None:
    name, without = "STREAMFLOW_CONTRACT_RETENTION_DAYS", render(FULL)
    assert not [
        pod
        for pod in pods(without).values()
        for one in pod["spec"]["containers"]
        if name in str(one)
    ]
    chosen = render({**FULL, "jobs.apply.contractRetentionDays": 90})
    (container,) = only_job(chosen, "apply")["spec"]["template"]["spec"]["containers"]
    assert environment(container)[name] == "90"
    assert len(job_names(chosen) - job_names(without)) == 1  # no other Job runs again
    for wrong in (-1, 1.5, "a"):
        assert "contractRetentionDays" in refusal({"jobs.apply.contractRetentionDays": wrong})


def test_the_notes_tell_what_is_so(tmp_path: Path) -> None:
    default = notes(tmp_path)
    assert "none yet: the API answers 404" in default
    assert "without backups" not in default
    assert "Backups        0 2 * * * Etc/UTC, 7 kept on volume streamflow-backups" in default
    assert "last good one: none yet" in default
    assert "on a volume of this cluster" in default
    assert "single pod without backups" in notes(tmp_path, {"jobs.backup.enabled": False})
    assert "sample" not in default
    laptop = notes(tmp_path, None, "--values", CHART / "examples" / "laptop.yaml")
    assert "These months are generated sample data: 2024-01-31, 2024-02-29." in laptop
    assert "may run as a single pod" in laptop
    assert "cat /training/churn_v1_2024-01-31.parquet >" in laptop
    assert "has no volume" in notes(tmp_path, {"postgres.persistence.enabled": False})
    external = notes(tmp_path, EXTERNAL)
    assert "without backups" not in external
    assert "identity of db.example.com is not verified" in external
