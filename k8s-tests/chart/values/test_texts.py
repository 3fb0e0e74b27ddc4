"""Texts of a person in commands, variables, paths and URLs stay what they are, or are refused."""

import json
import re
from typing import Any

import pytest
from kit.render import EXTERNAL, FULL, containers, pods, refusal, render, template
from kit.rules.kubernetes_rules import faults, versions

URL = {"asOf": "2024-01-31", "source": "url"}
PVC = {"asOf": "2024-01-31", "source": "pvc"}
SECRET = "$(PGPASSWORD)"
WITNESS = f"a{SECRET}$$b$"
"""Read by a kubelet: the password, one `$` of two, and the rest."""


def expanded(text: str, variables: dict[str, str]) -> str:
    """A text of a pod as the kubelet gives it to a container."""

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", value, text)


def received(values: dict[str, Any]) -> str:
    """All arguments and values of variables that containers get, as JSON."""
    told = []
    for pod in pods(render(values)).values():
        for one in containers(pod):
            variables = {each["name"]: "EXPANDED" for each in one.get("env", [])}
            texts = [*one.get("args", []), *(each.get("value", "") for each in one.get("env", []))]
            told += [expanded(text, variables) for text in texts]
    return json.dumps(told)


@pytest.mark.parametrize(
    "values",
    [
        {"jobs.ingest.months": [{**URL, "url": f"s3://{WITNESS}"}]},
        {"jobs.ingest.months": [{**PVC, "path": WITNESS}]},
        {"jobs.trainingSet.datasets": [{"asOf": "2024-01-31", "out": f"s3://{WITNESS}"}]},
        {"jobs.trainingSet.datasets": [{"asOf": "2024-01-31", "service": WITNESS}]},
        {"jobs.materialize.backfills": [{"views": [WITNESS]}]},
        {"jobs.backup.to": f"s3://{WITNESS}"},
        {"jobs.audit.service": WITNESS},
        {"api.defaultService": WITNESS},
        {"prefect.database": WITNESS},
        {"postgres.auth.database": WITNESS},
        {"postgres.auth.user": WITNESS},
        {"postgres.initdbArgs": WITNESS},
        {"postgres.parameters.search_path": WITNESS},
        {**EXTERNAL, "postgres.external.ca.path": f"/{WITNESS}"},
    ],
    ids=lambda values: list(values)[-1],
)
def test_a_text_reaches_a_container_as_it_was_written(values: dict[str, Any]) -> None:
    told = received({**FULL, **values})
    assert WITNESS in told


@pytest.mark.parametrize(
    "path",
    ["prefect.apiUrl", "prefect.uiApiUrl", "tracing.endpoint"],
)
@pytest.mark.parametrize(
    "url",
    [
        f"http://{SECRET}",
        f"http://elsewhere/{SECRET}",
        "http://[::1",
        "http://a:b%zz/",
        "http://a/%zz",
        "http://a b/",
        "http://a:99999",
        "http://user:word@a/api",
        "ftp://a",
        "http://",
    ],
)
def test_a_url_that_nobody_can_ask_is_refused(path: str, url: str) -> None:
    said = refusal({path: url})
    assert path in said.replace("/", ".")
    assert "nil pointer" not in said
    assert "executing" not in said
    assert "panic" not in said


@pytest.mark.parametrize(
    "url", ["http://a", "https://a.b:8443/api", "http://[fd00::1]:4200/api", "http://10.0.0.1/x"]
)
def test_others_are_taken(url: str) -> None:
    render({"prefect.apiUrl": url, "tracing.endpoint": url, "prefect.uiApiUrl": url})


@pytest.mark.parametrize("path", ["..", "../x", "a/..", "a/../../etc", "./../x", "a//..//b"])
def test_a_path_leads_nowhere_else(path: str) -> None:
    values = {"jobs.ingest.pvc.claimName": "months", "jobs.ingest.months": [{**PVC, "path": path}]}
    said = refusal(values)
    assert "jobs.ingest.months[0]" in said
    assert "leads out of the volume" in said


@pytest.mark.parametrize("service", ["../x", "a/b", "..", "/etc/passwd"])
def test_nor_does_the_name_of_a_training_sets_file(service: str) -> None:
    values = {"jobs.trainingSet.datasets": [{"asOf": "2024-01-31", "service": service}]}
    assert "jobs.trainingSet.datasets[0]" in refusal(values)
    sets = [{"asOf": "2024-01-31"}]
    assert "api.defaultService" in refusal(
        {"api.defaultService": service, "jobs.trainingSet.datasets": sets}
    )


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("api.rateLimit.perSecond", "2.5", '"2.5"'),
        ("jobs.audit.threshold", "0.01", '"0.01"|"--threshold"|0.01'),
        ("tracing.ratio", "0.25", '"0.25"'),
        ("jobs.audit.threshold", "1e-3", "1e-3"),
        ("api.podAnnotations.prometheus\\.io/scrape", "true", 'prometheus.io/scrape: "true"'),
        ("api.podLabels.tier", "1", 'tier: "1"'),
        ("api.nodeSelector.gpu", "true", 'gpu: "true"'),
        ("postgres.parameters.random_page_cost", "1.5", "random_page_cost=1.5"),
        ("jobs.extraEnv[0].name=A,jobs.extraEnv[0].value", "5", 'value: "5"'),
        ("postgres.image.tag", "18.10", "postgres:18.10"),
    ],
)
def test_a_number_on_the_command_line_is_a_number(path: str, value: str, shown: str) -> None:
    on = {"tracing.endpoint": "http://collector:4318"}
    text = template(on, "--set", f"{path}={value}")
    assert any(one in text for one in shown.split("|")), path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("api.rateLimit.perSecond", "fast"),
        ("api.rateLimit.perSecond", "-1.5"),
        ("jobs.audit.threshold", "1.5"),
        ("jobs.audit.threshold", "1%"),
        ("tracing.ratio", "2.5"),
        ("tracing.ratio", "."),
    ],
)
def test_what_is_none_is_refused(path: str, value: str) -> None:
    said = refusal({}, "--set", f"{path}={value}")
    assert path.replace(".", "/") in said or path in said


NUMERIC = ["0", "1e3", "0x1f", "1.5"]
"""Names of objects and keys that YAML would read as numbers."""
NAMES = {
    **dict.fromkeys(("postgres.auth.passwordKey", "postgres.auth.userKey"), "1e3"),
    **{
        f"postgres.roles.{role}.{key}": text
        for role, text in zip(("owner", "writer", "trainer", "reader"), NUMERIC, strict=True)
        for key in ("existingSecret", "usernameKey")
    },
    "postgres.auth.existingSecret": "7",
    "postgres.image.repository": "1",
    "postgres.persistence.storageClass": "1",
    "jobs.backup.persistence.existingClaim": "0",
    "jobs.trainingSet.persistence.storageClass": "1e3",
    "api.ingress.className": "1",
    "api.serviceAccount.create": False,
    "api.serviceAccount.name": "1",
    "api.priorityClassName": "1",
    "api.auth.testKeySecret": "1",
    "api.auth.existingSecret": "1",
}


def test_a_name_that_looks_like_a_number_stays_a_text() -> None:
    assert faults(render({**FULL, **NAMES}), versions()[-1]) == []


@pytest.mark.parametrize("key", NUMERIC)
def test_so_does_the_key_of_a_generated_password(key: str) -> None:
    server = {"postgres.auth.passwordKey": key, "postgres.auth.existingSecret": ""}
    assert "without a cluster" in refusal(server)
    rendered = render({"postgres.auth.passwordKey": key})
    (pod,) = (one for name, one in pods(rendered).items() if name.endswith("-postgres"))
    (server_of,) = (one for one in containers(pod) if one["name"] == "postgres")
    keys = [one.get("valueFrom", {}).get("secretKeyRef", {}).get("key") for one in server_of["env"]]
    assert key in keys


@pytest.mark.parametrize(
    "path",
    [
        *(f"metrics.{kind}.labels" for kind in ("dashboard", "serviceMonitor", "prometheusRule")),
        "metrics.prometheusRule.alertLabels",
        "jobs.trainingSet.persistence.annotations",
        "jobs.resources",
    ],
)
def test_what_is_taken_out_is_none(path: str) -> None:
    assert faults(render({**FULL, path: None}), versions()[-1]) == []


@pytest.mark.parametrize("name", ["true", "n", "y", "1e3", "0x1f", "null"])
def test_so_does_a_label_of_the_releases_name(name: str) -> None:
    override = name if name.isalpha() else ""  # it begins with a letter
    values = {**FULL, "nameOverride": override, "fullnameOverride": "mine"}
    assert faults(render(values, release=name), versions()[-1]) == []
