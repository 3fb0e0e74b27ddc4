"""Keys and limits of the API as the chart gives them to its pods, and what it says about them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chart.parts.test_secrets import Stub, cluster
from kit.render import CHART, FULL, Manifest, named, notes, pods, refusal, render

__all__ = ["cluster"]

KEYS: dict[str, Any] = {"api.auth.existingSecret": "api-keys"}
FOLDER = "/etc/streamflow/api-keys"
INGRESS = {key: value for key, value in FULL.items() if key.startswith(("api.", "networkPolicy."))}


def api(values: dict[str, Any] | None = None) -> tuple[Manifest, dict[str, str]]:
    """The pod of the API and its settings."""
    manifests = render(values)
    return (
        named(manifests, "Deployment")["streamflow-api"]["spec"]["template"],
        named(manifests, "ConfigMap")["streamflow-api"]["data"],
    )


def auditing(values: dict[str, Any] | None = None) -> Manifest:
    """The container of `helm test`."""
    (found,) = named(render(values), "Pod")["streamflow-test"]["spec"]["containers"]
    return dict(found)


def test_without_a_secret_there_are_no_keys_and_no_limit() -> None:
    pod, settings = api()
    assert "STREAMFLOW_API_KEYS_DIR" not in settings
    assert settings["STREAMFLOW_API_RATE_PER_S"] == "0"
    assert "api-keys" not in str(pod)


def test_the_secret_is_a_folder_that_nobody_writes_of_who_asks_for_keys_or_names_them() -> None:
    pod, settings = api(KEYS)
    assert settings["STREAMFLOW_API_KEYS_DIR"] == FOLDER
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "api-keys"]
    assert volume["secret"] == {"secretName": "api-keys", "defaultMode": 0o440}
    (container,) = pod["spec"]["containers"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "api-keys"]
    # Without subPath, with which a pod never sees a change.
    assert mount == {"name": "api-keys", "mountPath": FOLDER, "readOnly": True}
    assert pod["spec"]["securityContext"]["fsGroup"] == 10001
    names = {True: {"Deployment/streamflow-explorer"}, False: set()}
    for shown, explorers in names.items():
        rendered = pods(render({**FULL, **KEYS, "explorer.showKeys": shown}))
        having = {name for name, one in rendered.items() if "api-keys" in str(one)}
        assert having == {"Deployment/streamflow-api", *explorers}


def test_probes_need_no_key() -> None:
    (container,) = api(KEYS)[0]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in ("/livez", "/readyz")
        assert "httpHeaders" not in container[probe]["httpGet"]


def test_volumes_of_others_stay() -> None:
    extra = {
        "api.extraVolumes": [{"name": "a"}],
        "api.extraVolumeMounts": [{"name": "a", "mountPath": "/a"}],
    }
    pod, _ = api({**KEYS, **extra})
    assert [one["name"] for one in pod["spec"]["volumes"]] == ["tmp", "api-keys", "a"]


def test_limits_are_settings() -> None:
    _, settings = api({"api.rateLimit.perSecond": 2.5, "api.rateLimit.burst": 2_000_000})
    assert settings["STREAMFLOW_API_RATE_PER_S"] == "2.5"
    assert settings["STREAMFLOW_API_RATE_BURST"] == "2000000"


def test_another_limit_replaces_the_pods_and_another_key_does_not(cluster: Stub) -> None:
    def annotations(values: dict[str, Any]) -> Any:
        found = named(render(values, *cluster.options), "Deployment")["streamflow-api"]
        return found["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    cluster.add("secrets/api-keys", model="1" * 64)
    before = annotations(KEYS)
    cluster.add("secrets/api-keys", model="2" * 64)
    assert annotations(KEYS) == before
    assert annotations({**KEYS, "api.rateLimit.perSecond": 1}) != before


def test_a_connection_is_kept_for_longer_than_a_proxy_keeps_it() -> None:
    _, settings = api({})
    assert int(settings["STREAMFLOW_API_KEEP_ALIVE_S"]) > 60  # nginx, AWS
    _, settings = api({"api.keepAliveSeconds": 620})
    assert settings["STREAMFLOW_API_KEEP_ALIVE_S"] == "620"


def test_the_explorer_has_the_keys_that_it_names_and_none_where_it_shall_not() -> None:
    def mounted(values: dict[str, Any]) -> tuple[list[str], str]:
        found = named(render(values), "Deployment")["streamflow-explorer"]
        spec = found["spec"]["template"]["spec"]
        config = named(render(values), "ConfigMap")["streamflow-explorer"]["data"]
        volumes = [one["secret"] for one in spec["volumes"] if "secret" in one]
        assert all(one["optional"] for one in volumes)  # its pages say that it is not there
        secrets = [one["secretName"] for one in volumes]
        paths = [one["mountPath"] for one in spec["containers"][0]["volumeMounts"]]
        folder = config.get("STREAMFLOW_EXPLORER_API_KEYS_DIR", "")
        assert (folder in paths) == bool(folder)
        return secrets, folder

    assert mounted(KEYS) == (["api-keys"], "/etc/streamflow/api-keys")
    for off in ({}, {**KEYS, "explorer.showKeys": False}, {**KEYS, "api.enabled": False}):
        assert mounted(off) == ([], "")


@pytest.mark.parametrize("name", ["KEYS_DIR", "RATE_PER_S", "RATE_BURST", "KEEP_ALIVE_S"])
def test_a_setting_that_has_a_value_of_its_own_is_refused(name: str) -> None:
    assert f"api.settings.{name} has a value of its own: set api." in refusal(
        {"api.settings": {name: 1}}
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"api.rateLimit.perSecond": -1}, "'/api/rateLimit/perSecond': minimum: got -1, want 0"),
        ({"api.rateLimit.burst": 0}, "'/api/rateLimit/burst': minimum: got 0, want 1"),
        ({"api.auth.keys": ["a"]}, "'/api/auth': additional properties 'keys' not allowed"),
    ],
)
def test_what_cannot_be_is_refused_by_the_schema(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)


def test_a_missing_or_empty_secret_is_refused_with_the_mend(cluster: Stub) -> None:
    said = refusal(KEYS, *cluster.options)
    assert "there is no Secret api-keys in namespace default" in said
    assert "create secret generic api-keys --from-literal=NAME=HASH" in said
    cluster.add("secrets/api-keys")
    assert "Secret api-keys in namespace default has no key" in refusal(KEYS, *cluster.options)
    cluster.add("secrets/api-keys", model="1" * 64)
    values = {**KEYS, "api.auth.testKeySecret": "own"}
    assert "there is no Secret own with an entry key" in refusal(values, *cluster.options)
    cluster.add("secrets/own", key="k")
    render(values, *cluster.options)
    render({"api.enabled": False, **KEYS, "api.auth.existingSecret": "none"}, *cluster.options)


def test_the_notes_say_who_may_ask(tmp_path: Path) -> None:
    open_ = notes(tmp_path, INGRESS)
    assert "The API asks nobody for a key: whoever reaches its Ingress reads features" in open_
    assert "Authorization" not in open_
    said = notes(tmp_path, {**INGRESS, **KEYS})
    assert "asks nobody for a key" not in said
    assert '"Authorization": "Bearer " + sys.argv[2]' in said
    assert "with a key" in said
    assert "Secret api-keys with the API's keys was not there" in said
    assert "without api.auth.testKeySecret only that it wants a key" in said
    given = notes(tmp_path, {**INGRESS, **KEYS, "api.auth.testKeySecret": "own"})
    assert "without api.auth.testKeySecret" not in given


def test_the_test_compares_with_a_key_of_its_own() -> None:
    plain, keyed = auditing(), auditing({**KEYS, "api.auth.testKeySecret": "own"})
    variable = {
        "name": "STREAMFLOW_API_KEY",
        "valueFrom": {"secretKeyRef": {"name": "own", "key": "key"}},
    }
    assert keyed["env"] == [*plain["env"], variable]
    assert keyed["args"] == plain["args"]
    assert keyed["args"][:3] == ["audit", "--read-only", "--url"]
    assert "command" not in keyed


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ({"/services": 401, "/readyz": 200}, 0, "answers nobody without a key; no values were"),
        ({"/services": 200, "/readyz": 200}, 1, "answered 200 without a key, though keys are"),
        ({"/services": 503, "/readyz": 503}, 1, "answered 503 without a key, not 401"),
        ({"/services": 401, "/readyz": 503}, 1, "503"),
    ],
)
def test_without_one_it_sees_that_nobody_is_answered(
    answers: dict[str, int], code: int, said: str
) -> None:
    found = auditing(KEYS)
    assert found["command"][:2] == ["python", "-c"]
    assert found["args"] == ["http://streamflow-api.default", "set api.auth.testKeySecret", "30"]
    assert found["command"][2].strip() == (CHART / "files" / "expect_keys.py").read_text().strip()
    with answering(answers) as url:
        done = asked(url, "0")
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def asked(url: str, seconds: str) -> subprocess.CompletedProcess[str]:
    """Runs what `helm test` runs without a key, on the API at `url`."""
    found = auditing(KEYS)
    command = [sys.executable, "-c", found["command"][2], url, found["args"][1], seconds]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_a_new_pod_that_the_policies_do_not_know_yet_asks_again() -> None:
    with answering({"/services": 401, "/readyz": 200}, refusals=2) as url:
        done = asked(url, "30")
    assert done.returncode == 0, done.stderr
    assert "answers nobody without a key" in done.stdout


def test_an_api_that_is_not_reached_is_one_line() -> None:
    with answering({}) as url:
        pass
    done = asked(url, "0")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"{url} cannot be reached: ")


@contextmanager
def answering(answers: dict[str, int], refusals: int = 0) -> Iterator[str]:
    """A server that gives these statuses, after it closed so many connections; its URL."""
    left = [None] * refusals

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert "Authorization" not in self.headers
            if left:
                left.pop()
                return
            self.send_response(answers[self.path])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
