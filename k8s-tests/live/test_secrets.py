"""Tests that commands, logs and metrics of a release show none of its secrets."""

import base64

import pytest
from kit.cluster import CommandFailedError, run
from kit.namespace import Namespace

KINDS = "pods,jobs,cronjobs,deployments,statefulsets,services,configmaps,networkpolicies,secrets"
HELMS_OWN = "helm.sh/release.v1"
"""Secrets in which helm keeps a release, its Secrets included."""
LEAST = 12
"""Letters of a password; shorter texts of a Secret are names."""


@pytest.fixture(scope="module")
def secrets(sample_release: Namespace) -> dict[str, str]:
    """All passwords of the release, by where they are."""
    found = {}
    for one in sample_release.get("Secret"):
        if one["type"] != HELMS_OWN:
            for key, text in one.get("data", {}).items():
                found[f"{one['metadata']['name']}/{key}"] = base64.b64decode(text).decode()
    return {where: text for where, text in found.items() if len(text) >= LEAST and "_" not in text}


def test_there_are_passwords_to_look_for(secrets: dict[str, str]) -> None:
    assert len(secrets) >= 5, secrets.keys()
    assert len(set(secrets.values())) == len(secrets)


@pytest.mark.parametrize(
    "command",
    [
        ("helm", "get", "values", "streamflow", "--all"),
        ("helm", "get", "notes", "streamflow"),
        ("kubectl", "describe", KINDS),
        ("kubectl", "get", "events", "--output=yaml"),
        ("kubectl", "get", "pods,jobs,deployments,statefulsets", "--output=yaml"),
    ],
    ids=" ".join,
)
def test_no_command_tells_one(
    sample_release: Namespace, secrets: dict[str, str], command: tuple[str, ...]
) -> None:
    tool, *arguments = command
    said = sample_release.helm(*arguments) if tool == "helm" else sample_release.kubectl(*arguments)
    assert "streamflow" in said
    assert [where for where, text in secrets.items() if contains_secret(said, text)] == []


def contains_secret(text: str, secret: str) -> bool:
    """True if a text contains a secret, in plain text or base64."""
    return secret in text or base64.b64encode(secret.encode()).decode() in text


def test_no_log_and_no_metric_tells_one(sample_release: Namespace, secrets: dict[str, str]) -> None:
    said = [
        sample_release.kubectl("exec", "deploy/streamflow-feast", "--", "python", "-c", METRICS)
    ]
    for one in sample_release.get("Pod"):
        try:
            name = one["metadata"]["name"]
            said.append(sample_release.kubectl("logs", name, "--all-containers", "--prefix"))
        except CommandFailedError:  # it has not begun, or is gone
            continue
    whole = "\n".join(said)
    assert len(said) > 5
    assert "streamflow_api_ready" in whole
    assert [where for where, text in secrets.items() if contains_secret(whole, text)] == []


METRICS = (
    "import sys, urllib.request as r;"
    "sys.stdout.write(r.urlopen('http://streamflow-api/metrics', timeout=10).read().decode())"
)
"""Prints what Prometheus gets."""


def test_no_image_has_any(sample_release: Namespace) -> None:
    for image in sample_release.images.names:
        said = run("docker", "inspect", image) + run("docker", "history", "--no-trunc", image)
        assert "PYTHONPATH" in said
        for word in ("PASSWORD", "SECRET", "TOKEN", "API_KEY", "PIP_INDEX", "UV_INDEX"):
            assert word not in said, f"{word} in {image}"
