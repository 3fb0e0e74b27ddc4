"""With a folder of keys, only who has one is answered, and only what the key is for."""

import contextlib
import http.client
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.access import callers
from api.tests.access.key_files import ONE, TWO, Mount, bearer, line
from api.tests.conftest import assert_problem, metric, ready, serving, wait_until

USER = "/features/7590-VHVEG"
BATCH = {"user_ids": ["7590-VHVEG", "0002-ORFBO"]}
ONLINE = {"feature_service": "churn_v1", "entities": {"user_id": ["7590-VHVEG"]}}
BOUND_S = callers.FOLDER_CHECK_S + 1
"""Seconds in which a change of the folder takes effect, as docs/operations.md has it."""


@contextlib.contextmanager
def keyed(folder: Path, **settings: object) -> Iterator[httpx.Client]:
    """A server that is ready and wants the keys of `folder`."""
    with serving(keys_dir=str(folder), **settings) as client:
        wait_until(lambda: ready(client))
        yield client


@pytest.fixture(scope="module")
def guarded(loaded: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with the key `one`, and `two` that is for profile_v1 alone."""
    folder = tmp_path_factory.mktemp("mount") / "keys"
    Mount(folder, one=line(ONE), two=line(TWO, "profile_v1"))
    with keyed(folder) as client:
        yield client


def ask(client: httpx.Client, way: str, key: str, **asked: object) -> httpx.Response:
    """Ask for a user in one of three ways, with a key."""
    if way == "GET":
        return client.get(USER, params=asked, headers=bearer(key))  # type: ignore[arg-type]
    if way == "POST":
        return client.post("/features", json={**BATCH, **asked}, headers=bearer(key))
    body: dict[str, object] = {"entities": ONLINE["entities"]}
    if "features" in asked:
        body["features"] = asked["features"]
    else:
        body["feature_service"] = asked.get("service", "churn_v1")
    return client.post("/get-online-features", json=body, headers=bearer(key))


ways = pytest.mark.parametrize("way", ["GET", "POST", "Feast"])


@ways
def test_a_key_opens_all_ways_to_ask(guarded: httpx.Client, way: str) -> None:
    for _ in range(2):  # the framework's route, then the direct one
        response = ask(guarded, way, ONE)
        assert response.status_code == 200, response.text
    assert guarded.get("/services", headers=bearer(ONE)).status_code == 200
    assert guarded.get("/services/churn_v1", headers=bearer(TWO)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", USER, None),
        ("GET", f"{USER}?service=profile_v1", None),
        ("POST", "/features", BATCH),
        ("POST", "/features?contract=x", BATCH),
        ("POST", "/get-online-features", ONLINE),
        ("GET", "/services", None),
        ("GET", "/services/churn_v1", None),
        ("GET", "/nothing", None),
        ("DELETE", USER, None),
        ("HEAD", USER, None),
        ("OPTIONS", "/features", None),
    ],
)
def test_without_a_key_nothing_is_told(
    guarded: httpx.Client, method: str, path: str, body: dict[str, object] | None
) -> None:
    response = guarded.request(method, path, json=body)
    assert response.headers["www-authenticate"] == 'Bearer realm="streamflow"'
    if method == "HEAD":
        assert (response.status_code, response.text) == (401, "")
        return
    assert_problem(response, 401, "unauthorized", "a key is needed, as the header Authorization")


@pytest.mark.parametrize(
    "path",
    [
        "//livez",
        "/livez/../features/7590-VHVEG",
        "/docs/../features/7590-VHVEG",
        "/docs%2F..%2Ffeatures/7590-VHVEG",
        "/docs/..%2Ffeatures%2F7590-VHVEG",
        "/%66eatures/7590-VHVEG",
        "/metrics/features/7590-VHVEG",
    ],
)
def test_no_way_around_leads_to_features(guarded: httpx.Client, path: str) -> None:
    """Paths are sent as bytes, since httpx would tidy dots and slashes up."""
    connection = http.client.HTTPConnection(guarded.base_url.host, guarded.base_url.port)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status in (401, 404)
        assert b"months_active" not in response.read()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Basic " + ONE.encode(),
        ONE.encode(),
        b"Bearer " + ONE[:-1].encode(),
        b"Bearer " + ONE.upper().encode(),
        b"Bearer " + ONE.encode() + b" " + ONE.encode(),
        b"Bearer " + line(ONE).strip().encode(),  # the hash is no key
        "Bearer sfk_schlüssel".encode(),
        "Bearer 🎬".encode(),
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 50_000,
    ],
    ids=lambda header: repr(header[:24]),
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_anything_else_than_a_known_key_is_refused(
    guarded: httpx.Client, header: bytes, method: str
) -> None:
    path = USER if method == "GET" else "/features"
    content = None if method == "GET" else b"x" * 100_000
    response = guarded.request(method, path, content=content, headers={"Authorization": header})
    assert_problem(response, 401, "unauthorized")
    challenge = 'Bearer realm="streamflow", error="invalid_token"'
    assert response.headers["www-authenticate"] == challenge
    assert guarded.get(USER, headers=bearer(ONE)).status_code == 200


def test_a_key_given_twice_is_no_key(guarded: httpx.Client) -> None:
    headers = [("Authorization", f"Bearer {ONE}")] * 2
    assert_problem(guarded.get(USER, headers=headers), 401, "unauthorized", "is not bearer key")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_read_as_http_wants_it(guarded: httpx.Client, scheme: str) -> None:
    response = guarded.get(USER, headers={"Authorization": f"{scheme} {ONE}"})
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics"])
def test_probes_metrics_and_documentation_need_no_key(guarded: httpx.Client, path: str) -> None:
    for headers in ({}, bearer("wrong")):
        assert guarded.get(path, headers=headers).status_code in (200, 307)
    assert guarded.get("/docs/swagger-ui.css").status_code == 200


@ways
def test_a_key_may_be_for_some_services_alone(guarded: httpx.Client, way: str) -> None:
    for _ in range(2):
        assert ask(guarded, way, TWO, service="profile_v1").status_code == 200
        response = ask(guarded, way, TWO, service="churn_v1")
        assert_problem(response, 403, "forbidden", "key two is not for that feature service")
    # Not even whether there is such a service.
    assert_problem(ask(guarded, way, TWO, service="churn_v9"), 403, "forbidden")
    if way != "Feast":
        assert_problem(ask(guarded, way, TWO), 403, "forbidden", "only for: profile_v1")
    response = ask(guarded, way, TWO, features=["subs_profile_fv:months_active"])
    assert_problem(response, 403, "forbidden", "may ask for whole feature services")


def test_line_and_metric_have_the_keys_name_and_no_key(
    guarded: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api.access")
    lines = {
        status: f'streamflow_api_key_requests_total{{key="{name}",status="{status}"}}'
        for name, status in (("one", 200), ("one", 404), ("two", 403))
    }
    before = {status: metric(guarded, one) for status, one in lines.items()}
    guarded.get(USER, headers={**bearer(ONE), "X-Request-ID": "r200"})
    guarded.get("/features/nobody", headers={**bearer(ONE), "X-Request-ID": "r404"})
    guarded.get(USER, headers={**bearer(TWO), "X-Request-ID": "r403"})
    guarded.get(USER, headers={**bearer("secret"), "X-Request-ID": "r401"})
    guarded.get("/livez", headers={**bearer(ONE), "X-Request-ID": "open"})
    for status, one in lines.items():
        wait_until(lambda one=one, status=status: metric(guarded, one) == before[status] + 1)
    wait_until(lambda: any(getattr(one, "request_id", "") == "open" for one in caplog.records))
    keys = {
        one.request_id: getattr(one, "key", None)  # type: ignore[attr-defined]
        for one in caplog.records
        if one.name == "api.access"
    }
    keys = {name: key for name, key in keys.items() if len(name) == 4}
    assert keys == {"r200": "one", "r404": "one", "r403": "two", "r401": None, "open": None}
    assert metric(guarded, "streamflow_api_keys") == 2
    assert metric(guarded, "streamflow_api_keys_outdated") == 0
    refused = 'streamflow_api_requests_total{method="GET",route="/features/{user_id}",status="401"}'
    assert metric(guarded, refused) > 0
    text = guarded.get("/metrics").text + caplog.text
    assert not re.search(f"{ONE}|{TWO}|{line(ONE).strip()}|secret", text)


def test_without_the_setting_nothing_is_asked_and_nothing_said(client: httpx.Client) -> None:
    for headers in ({}, bearer("anything")):
        assert client.get(USER, headers=headers).status_code == 200
    assert "streamflow_api_key" not in client.get("/metrics").text
    assert "streamflow_api_rate" not in client.get("/metrics").text


def test_the_description_says_what_is_asked(guarded: httpx.Client, client: httpx.Client) -> None:
    described, plain = (one.get("/openapi.json").json() for one in (guarded, client))
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    asked = {
        f"{method} {path}": [one for one in operation["responses"] if one in ("401", "403", "429")]
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if operation.get("security") == [{"key": []}]
    }
    assert asked == {
        "get /features/{user_id}": ["401", "403"],
        "post /features": ["401", "403"],
        "post /get-online-features": ["401", "403"],
        "get /services": ["401"],
        "get /services/{name}": ["401"],
        "get /registry.pb": ["401"],
    }
    assert "security" not in str(plain)
    responses = described["paths"]["/features/{user_id}"]["get"]["responses"]
    for key, service, status in (("x", "churn_v1", "401"), (TWO, "churn_v1", "403")):
        (example,) = responses[status]["content"]["application/problem+json"]["examples"].values()
        example = example["value"]
        answered = ask(guarded, "GET", key, service=service).json()
        assert set(answered) == set(example)
        assert [answered[one] for one in ("type", "title", "status")] == [
            example[one] for one in ("type", "title", "status")
        ]


# The folder changes while the service runs.


def test_a_key_is_exchanged_without_a_failed_request(loaded: str, tmp_path: Path) -> None:
    mount = Mount(tmp_path / "keys", model=line(ONE))
    with keyed(mount.folder) as client:
        key, answers, is_over = ONE, [], threading.Event()

        def go_on() -> None:
            with httpx.Client(base_url=client.base_url) as own:
                while not is_over.is_set():
                    answers.append(own.get(USER, headers=bearer(key)).status_code)
                    answers.append(
                        own.post("/features", json=BATCH, headers=bearer(key)).status_code
                    )

        threads = [threading.Thread(target=go_on) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            mount.swap(model=line(ONE) + line(TWO))
            wait_until(lambda: client.get(USER, headers=bearer(TWO)).is_success, BOUND_S)
            key = TWO  # what the caller does
            time.sleep(0.3)
            mount.swap(model=line(TWO))
            wait_until(lambda: client.get(USER, headers=bearer(ONE)).status_code == 401, BOUND_S)
            time.sleep(0.3)
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    assert len(answers) > 100
    assert set(answers) == {200}


def test_files_are_added_and_removed_without_a_restart(loaded: str, tmp_path: Path) -> None:
    """A folder without the links of a kubelet is followed, too."""
    (tmp_path / "one").write_text(line(ONE))
    with keyed(tmp_path) as client:
        assert client.get(USER, headers=bearer(TWO)).status_code == 401
        (tmp_path / "two").write_text(line(TWO))
        wait_until(lambda: client.get(USER, headers=bearer(TWO)).is_success, BOUND_S)
        (tmp_path / "one").unlink()
        wait_until(lambda: client.get(USER, headers=bearer(ONE)).status_code == 401, BOUND_S)
        assert client.get(USER, headers=bearer(TWO)).is_success


@pytest.mark.slow
@pytest.mark.parametrize("broken", [{}, {"model": "no hash"}, {"model": ""}])
def test_a_broken_folder_keeps_the_last_good_keys_and_says_so(
    loaded: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: dict[str, str]
) -> None:
    caplog.set_level(logging.INFO, "api.access.callers")
    mount = Mount(tmp_path / "keys", model=line(ONE))
    with keyed(mount.folder) as client:
        mount.swap(**broken)
        wait_until(lambda: metric(client, "streamflow_api_keys_outdated") == 1, BOUND_S)
        assert client.get(USER, headers=bearer(ONE)).is_success
        time.sleep(callers.FOLDER_CHECK_S * 1.5)  # said once, not at every look
        mount.swap(model=line(TWO))
        wait_until(lambda: client.get(USER, headers=bearer(TWO)).is_success, BOUND_S)
        assert metric(client, "streamflow_api_keys_outdated") == 0
        assert client.get(USER, headers=bearer(ONE)).status_code == 401
    said = [(one.levelname, one.getMessage()) for one in caplog.records if "API keys" in one.msg]
    assert said == [
        ("WARNING", "API keys not read, those of before stay"),
        ("INFO", "API keys read"),
    ]
    assert "no hash" not in str([vars(one) for one in caplog.records])
