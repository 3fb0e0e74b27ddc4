"""Tests of the chart's lookups in a cluster, which is a stub of Kubernetes' API."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kit.render import (
    CHART,
    EXTERNAL,
    GIVEN,
    KUBERNETES,
    Manifest,
    helm,
    named,
    notes,
    parsed,
    pods,
    refusal,
    render,
    template,
)

OBJECTS = {
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "persistentvolumeclaims": "PersistentVolumeClaim",
}
SECRET = "secrets/streamflow-postgres"
CLAIM = "persistentvolumeclaims/data-streamflow-postgres-0"


class Stub:
    """An API server with a few objects of namespace `default`, by PLURAL/NAME."""

    def __init__(self, folder: Path) -> None:
        self.objects: dict[str, Manifest] = {
            "configmaps/kube-root-ca.crt": {"data": {"ca.crt": ""}}
        }
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        url = f"http://127.0.0.1:{self.server.server_port}"
        named = {"clusters": {"server": url}, "contexts": {"cluster": "stub"}}
        config = {name: [{"name": "stub", name[:-1]: value}] for name, value in named.items()}
        self.options = ("--dry-run=server", "--kubeconfig", folder / "kubeconfig")
        self.options[-1].write_text(json.dumps({**config, "current-context": "stub"}))
        Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, path: str, **data: str) -> None:
        """Adds an object with `data` as a Secret has it."""
        self.objects[path] = {
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        }

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """The handler class, which sees this stub."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = stub.answer(self.path.partition("?")[0])
                body = json.dumps(found or {"kind": "Status", "code": 404, "reason": "NotFound"})
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, path: str) -> Manifest | None:
        """Returns the stub's answer to a GET; None where there is no such object."""
        namespaced = {"namespaced": True, "verbs": ["get", "list"]}
        kinds = [{"name": name, "kind": kind, **namespaced} for name, kind in OBJECTS.items()]
        kinds.append({"name": "namespaces", "kind": "Namespace", "verbs": ["get"]})
        fixed: dict[str, Manifest] = {
            "/version": {"major": "1", "minor": "34", "gitVersion": f"v{KUBERNETES}"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": kinds},
            "/api/v1/namespaces/kube-system": {"apiVersion": "v1", "kind": "Namespace"},
        }
        jobs = [{"name": "cronjobs", "kind": "CronJob", **namespaced}]
        fixed["/apis/batch/v1"] = {
            "kind": "APIResourceList",
            "groupVersion": "batch/v1",
            "resources": jobs,
        }
        name = path.removeprefix("/apis/batch/v1/namespaces/default/")
        if name in self.objects:
            return {"apiVersion": "batch/v1", "kind": "CronJob", **self.objects[name]}
        name = path.removeprefix("/api/v1/namespaces/default/")
        if name in self.objects:
            kind = OBJECTS[name.partition("/")[0]]
            return {"apiVersion": "v1", "kind": kind, "metadata": {}, **self.objects[name]}
        return fixed.get(path)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Stub]:
    stub = Stub(tmp_path)
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


def password(manifests: list[Manifest]) -> str:
    secret = named(manifests, "Secret")["streamflow-postgres"]
    return base64.b64decode(secret["data"]["password"]).decode()


def test_a_generated_password_is_in_its_secret_alone(cluster: Stub) -> None:
    text = template(None, *cluster.options)
    secrets = named(parsed(text), "Secret").values()
    assert len(secrets) == 6
    for secret in secrets:
        assert text.count(secret["data"]["password"]) == 1
    again = template(None, *cluster.options)
    assert again != text

    def without_password(text: str) -> str:
        text = re.sub(r"\"?(password|checksum/secret)\"?: \S+", "", text)
        return re.sub(r"(streamflow-roles)-\w+", r"\1", text)

    assert without_password(again) == without_password(text)


def template_without_cluster(
    values: dict[str, Any], *options: str | Path
) -> subprocess.CompletedProcess[str]:
    """Runs `helm template` with these values and no others, as helm outside of a cluster."""
    where = ("template", "streamflow", CHART, "--kube-version", KUBERNETES)
    return helm(*where, *options, values=values)


@pytest.mark.parametrize(
    ("values", "lacking"),
    [
        ({}, "postgres.auth, postgres.roles.owner, postgres.roles.writer"),
        ({"postgres.auth.existingSecret": "known"}, "of postgres.roles.owner"),
        ({"postgres.roles.enabled": False}, "of postgres.auth to"),
        ({**GIVEN, "postgres.roles.reader.existingSecret": ""}, "of postgres.roles.reader to"),
        ({**EXTERNAL, "postgres.roles.enabled": True}, "of postgres.roles.owner"),
    ],
    ids=str,
)
def test_without_a_cluster_nothing_is_generated(values: dict[str, Any], lacking: str) -> None:
    done = template_without_cluster(values)
    assert done.returncode != 0
    assert "each rendering would have other passwords" in done.stderr
    assert lacking in done.stderr
    assert "--dry-run=server" in done.stderr


def test_without_a_cluster_two_renderings_are_the_same(cluster: Stub) -> None:
    for values in (GIVEN, EXTERNAL, {**GIVEN, "postgres.roles.enabled": False}):
        first = template_without_cluster(values)
        assert first.returncode == 0, first.stderr
        assert template_without_cluster(values).stdout == first.stdout
    example = template_without_cluster({}, "--values", CHART / "examples" / "gitops.yaml")
    assert "kind: Secret" not in example.stdout
    assert example.returncode == 0, example.stderr
    assert "kind: Secret" in template(None, *cluster.options)


def test_a_namespace_that_is_not_made_yet_is_no_missing_cluster(cluster: Stub) -> None:
    del cluster.objects["configmaps/kube-root-ca.crt"]
    assert len(named(render(None, *cluster.options), "Secret")) == 6


def test_another_rotation_is_another_password_and_another_server_pod(cluster: Stub) -> None:
    def server(manifests: list[Manifest]) -> Any:
        found = named(manifests, "StatefulSet")["streamflow-postgres"]["spec"]["template"]
        return found["metadata"]["annotations"]["checksum/secret"]

    before = render(None, *cluster.options)
    secret = named(before, "Secret")["streamflow-postgres"]
    cluster.add(SECRET, password=password(before))  # as releases without rotations have it
    assert password(render(None, *cluster.options)) == password(before)
    again = {"postgres.auth.rotation": "2026-11"}
    after = render(again, *cluster.options)
    assert password(after) != password(before)
    assert server(after) != server(before)
    secret = named(after, "Secret")["streamflow-postgres"]
    cluster.objects[SECRET] = {"data": secret["data"], "metadata": secret["metadata"]}
    assert password(render(again, *cluster.options)) == password(after)
    assert server(render(again, *cluster.options)) == server(after)
    assert password(render(None, *cluster.options)) != password(after)


def test_the_rotation_of_a_password_that_is_somebody_elses_is_told_by_its_value() -> None:
    def checksums(values: dict[str, Any]) -> set[str]:
        found = pods(render({**values, "postgres.roles.enabled": False})).items()
        return {
            one["metadata"]["annotations"]["checksum/secret"]
            for name, one in found
            if name.startswith(("Deployment", "StatefulSet"))
        }

    assert not checksums({}) & checksums({"postgres.auth.rotation": 1})
    said = refusal({**EXTERNAL, "postgres.auth.existingSecret": "", "postgres.auth.rotation": 1})
    assert "postgres.auth.rotation is set, but postgres.external is on" in said


def test_a_generated_password_is_kept(cluster: Stub) -> None:
    first = password(render(None, *cluster.options))
    assert len(first) == 32
    cluster.add(SECRET, password=first)
    cluster.add(CLAIM)
    assert password(render(None, *cluster.options)) == first


def test_a_changed_password_replaces_the_pods(cluster: Stub) -> None:
    alone = {"postgres.roles.enabled": False}
    for values, secret in ((alone, SECRET), (EXTERNAL, "secrets/known")):
        checksums = set()
        for value in ("one", "two"):
            cluster.add(secret, password=value)
            deployments = named(render(values, *cluster.options), "Deployment").values()
            (checksum,) = {
                one["spec"]["template"]["metadata"]["annotations"]["checksum/secret"]
                for one in deployments
            }
            checksums.add(checksum)
        assert len(checksums) == 2


def test_a_missing_secret_is_refused_with_the_command_that_makes_it(cluster: Stub) -> None:
    said = refusal(EXTERNAL, *cluster.options)
    assert "there is no Secret known in namespace default" in said
    assert "create secret generic known --from-literal=password=" in said


def test_a_secret_without_the_key_is_refused(cluster: Stub) -> None:
    cluster.add("secrets/known", user="a", pass_word="b")
    assert "has no key password, only: pass_word, user" in refusal(EXTERNAL, *cluster.options)


def test_data_whose_password_is_gone_is_not_given_another(cluster: Stub) -> None:
    cluster.add(CLAIM)
    assert "has the data of an earlier release" in refusal({}, *cluster.options)
    render({"postgres.persistence.enabled": False}, *cluster.options)


def test_without_a_cluster_the_notes_say_that_the_secret_was_not_there(tmp_path: Path) -> None:
    assert "Secret known was not there" in notes(tmp_path, EXTERNAL)


def test_the_notes_say_when_the_last_good_backup_was(cluster: Stub, tmp_path: Path) -> None:
    options = (*cluster.options, "--is-upgrade")
    assert "No backup has succeeded yet" in notes(tmp_path, None, *options)
    at = "2026-02-01T02:00:41Z"
    cluster.objects["cronjobs/streamflow-backup"] = {"status": {"lastSuccessfulTime": at}}
    said = notes(tmp_path, None, *options)
    assert f"last good one: {at}" in said
    assert "No backup has succeeded yet" not in said
