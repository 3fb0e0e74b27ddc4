"""Users of Feast's SDK are told what is wrong by its exceptions, everybody else by problems."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests

from api.http.feast.errors import UNSERVED
from api.tests.conftest import assert_problem

if TYPE_CHECKING:
    from feast import FeatureStore

ROWS = {"user_id": ["7590-VHVEG"]}
SDK = {"User-Agent": "python-requests/2.32.4", "Accept": "*/*"}
"""The headers by which Feast's client is known."""
UNKNOWN = {"features": ["nothing_fv:n"], "entities": ROWS}


@pytest.fixture(scope="module")
def sdk(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> "FeatureStore":
    """The stock SDK, whose registry is an empty file."""
    from feast import FeatureStore, RepoConfig

    online = {"type": "remote", "path": str(client.base_url).rstrip("/"), "connection_retries": 0}
    registry = str(tmp_path_factory.mktemp("sdk") / "registry.pb")
    return FeatureStore(
        config=RepoConfig(
            project="streamflow",
            provider="local",
            registry=registry,
            online_store=online,
            entity_key_serialization_version=3,
        )
    )


def service(name: str) -> Any:
    """A feature service by its name alone, which is all that the client sends."""
    from feast import FeatureService

    return FeatureService(name=name, features=[])


def write(store: "FeatureStore") -> None:
    """Let the SDK write a row."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val="a")])
    row = (key, {"n": Value(int64_val=1)}, datetime(2024, 1, 31, tzinfo=UTC), None)
    online = store._get_provider().online_store
    online.online_write_batch(store.config, SimpleNamespace(name="odd_fv"), [row], None)


def search(store: "FeatureStore") -> None:
    """Let the SDK search for a vector."""
    online = store._get_provider().online_store
    online.retrieve_online_documents(store.config, SimpleNamespace(name="odd_fv"), [], [0.5], 1)


MISTAKES: dict[str, tuple[Callable[["FeatureStore"], Any], str, str]] = {
    "view": (
        lambda store: store.get_online_features(["nothing_fv:n"], ROWS),
        "FeatureViewNotFoundException",
        "422 Unknown name: Unknown feature view 'nothing_fv'; known: odd_fv,",
    ),
    "service": (
        lambda store: store.get_online_features(service("churn_v9"), ROWS),
        "FeatureServiceNotFoundException",
        "422 Unknown name: Unknown feature service 'churn_v9'; known: churn_v1, ",
    ),
    "feature": (
        lambda store: store.get_online_features(["odd_fv:m"], ROWS),
        "FeastObjectNotFoundException",
        "422 Unknown name: Unknown feature 'odd_fv:m'; known: odd_fv:n.",
    ),
    "key": (
        lambda store: store.get_online_features(["odd_fv:n"], {"user_id": [7.5]}),
        "FeastError",
        "body.entities.user_id.0: should be a text, not the number 7.5.",
    ),
    "other keys": (
        lambda store: store.get_online_features(["odd_fv:n"], {"shop_id": [7]}),
        "FeastError",
        "body.entities: lacks user_id.",
    ),
    "rows": (
        lambda store: store.get_online_features(["odd_fv:n"], {"user_id": ["a"] * 1001}),
        "FeastError",
        "more than 1000 rows: 1001. Ask for them in several requests, or have the service's limit "
        "raised (STREAMFLOW_API_MAX_USERS)",
    ),
    "write": (write, "FeastError", "405 Method Not Allowed: This service only reads; values are"),
    "search": (search, "FeastError", "405 Method Not Allowed: This service does not search; "),
}


@pytest.mark.parametrize(("act", "kind", "said"), MISTAKES.values(), ids=MISTAKES)
def test_the_sdk_raises_feasts_exception(
    sdk: "FeatureStore",
    caplog: pytest.LogCaptureFixture,
    act: Callable[["FeatureStore"], Any],
    kind: str,
    said: str,
) -> None:
    from feast import errors

    with caplog.at_level(logging.WARNING, "feast"), pytest.raises(errors.FeastError) as raised:
        act(sdk)
    assert type(raised.value).__name__ == kind
    assert said in str(raised.value)
    assert "urn:uuid:" in str(raised.value)  # under which the log has it
    assert not [one for one in caplog.records if one.name.startswith("feast")]


def test_an_answer_is_an_answer(sdk: "FeatureStore") -> None:
    found = sdk.get_online_features(service("profile_v1"), ROWS).to_dict()
    assert found["months_active"] == [1]


def test_the_form_of_feasts_client_has_the_whole_problem(client: httpx.Client) -> None:
    url = client.base_url.join("/get-online-features")
    found = requests.post(str(url), json=UNKNOWN, timeout=30)
    assert found.status_code == 422
    assert found.headers["content-type"] == "application/json"
    form = json.loads(found.json())
    assert (form["module"], form["class"]) == ("feast.errors", "FeatureViewNotFoundException")
    assert form["type"] == "urn:streamflow:problem:unknown-name"
    assert form["kind"] == "feature view"
    assert form["instance"] == f"urn:uuid:{found.headers['x-request-id']}"
    assert "odd_fv" in form["known"]
    assert form["detail"] in form["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"User-Agent": "curl/8.5.0"},
        {"User-Agent": ""},
        {**SDK, "Accept": "application/problem+json"},
        {**SDK, "Accept": "application/json"},
    ],
)
@pytest.mark.parametrize("path", ["/get-online-features", "/push"])
def test_everybody_else_gets_the_problem(
    client: httpx.Client, headers: dict[str, str], path: str
) -> None:
    response = client.post(path, json=UNKNOWN, headers=headers)
    status, kind = (422, "unknown-name") if path == "/get-online-features" else (405, None)
    assert_problem(response, status, kind)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/features", {"user_ids": ["a"], "service": "churn_v9"}),
        ("/features", {"user_ids": 7}),
        ("/nothing", {}),
    ],
)
def test_routes_that_are_not_feasts_answer_problems_alone(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    response = client.post(path, json=body, headers=SDK)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code


@pytest.mark.parametrize("content", ["{", "[]", '{"entities": 7}', '{"entities": {}}'])
def test_a_body_that_makes_no_sense_is_told_in_either_form(
    client: httpx.Client, content: str
) -> None:
    """Problems that the framework finds have that form, too."""
    headers = {"Content-Type": "application/json"}
    problem = client.post("/get-online-features", content=content, headers=headers)
    assert_problem(problem, 422, "invalid-request")
    form = client.post("/get-online-features", content=content, headers={**headers, **SDK})
    told = json.loads(form.json())
    same = {"type", "title", "status", "detail", "errors"}
    assert {name: told[name] for name in same} == {name: problem.json()[name] for name in same}
    assert int(form.headers["content-length"]) == len(form.content)


@pytest.mark.parametrize("path", UNSERVED)
@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE", "OPTIONS"])
def test_what_feasts_server_does_besides_is_refused_with_the_reason(
    client: httpx.Client, path: str, method: str
) -> None:
    response = client.request(method, path)
    assert_problem(response, 405, None, "this service ")
    assert response.headers["allow"] == ""  # nothing is allowed there


def test_a_large_write_is_refused_and_the_connection_goes_on(client: httpx.Client) -> None:
    body = {"feature_view_name": "odd_fv", "df": {"n": list(range(600_000))}}
    for _ in range(3):
        assert_problem(client.post("/write-to-online-store", json=body), 405, None, "only reads")
    assert client.get("/livez").status_code == 200
