"""What the chart finds in a cluster and makes of it; the cluster is a stub of Kubernetes' API."""

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from render import EXTERNAL, KUBERNETES, Manifest, named, notes, refusal, render

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
        """What the API answers to a GET."""
        namespaced = {"namespaced": True, "verbs": ["get", "list"]}
        kinds = [{"name": name, "kind": kind, **namespaced} for name, kind in OBJECTS.items()]
        fixed: dict[str, Manifest] = {
            "/version": {"major": "1", "minor": "34", "gitVersion": f"v{KUBERNETES}"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": kinds},
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
