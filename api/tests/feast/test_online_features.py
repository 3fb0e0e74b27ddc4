"""POST /get-online-features refuses what cannot be answered and says why."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from api.tests.conftest import assert_problem

REF = "subs_profile_fv:months_active"


def ask(client: httpx.Client, entities: Any = None, **asked: Any) -> httpx.Response:
    body = {"entities": {"user_id": ["7590-VHVEG"]} if entities is None else entities, **asked}
    return client.post("/get-online-features", json=body)


@pytest.mark.parametrize(
    ("asked", "name", "detail"),
    [
        ({"feature_service": "churn_v9"}, "unknown-name", "unknown feature service 'churn_v9'"),
        ({"features": ["no_fv:x"]}, "unknown-name", "unknown feature view 'no_fv'"),
        ({"features": ["subs_profile_fv:x"]}, "unknown-name", "'subs_profile_fv:x'"),
        ({"features": ["subs_profile_fv@v7:months_active"]}, "unknown-name", "subs_profile_fv@v7"),
        ({}, "invalid-request", "body.features: is empty"),
        ({"features": []}, "invalid-request", "body.features: is empty"),
        ({"features": ["x"]}, "invalid-request", "body.features.0: a feature is written view:name"),
        ({"features": [":x"]}, "invalid-request", "a feature is written view:name"),
        ({"features": REF}, "invalid-request", "body.features"),
        ({"features": [1]}, "invalid-request", "body.features.0"),
        ({"feature_service": 1}, "invalid-request", "body.feature_service"),
        (
            {"features": [REF, "subs_copy_fv:months_active"]},
            "invalid-request",
            "several views have months_active; ask with full_feature_names",
        ),
        (
            {"features": [REF], "include_feature_view_version_metadata": True},
            "invalid-request",
            "versions of feature views are not known here",
        ),
    ],
)
def test_features_that_there_are_not(
    rich_client: httpx.Client, asked: dict[str, Any], name: str, detail: str
) -> None:
    assert_problem(ask(rich_client, **asked), 422, name, detail)


@pytest.mark.parametrize(
    ("entities", "detail"),
    [
        ({}, "body.entities: is empty"),
        ({"user_id": []}, "body.entities: is empty"),
        ({"user_id": "a"}, "body.entities.user_id: Input should be a valid list"),
        ([], "body.entities"),
        ({"user_id": ["a", "b"], "shop_id": [1]}, "different lengths: user_id 2, shop_id 1"),
        ({"user_id": ["a"]}, "body.entities: lacks shop_id"),
        ({"shop_id": [1]}, "body.entities: lacks user_id"),
        ({"users": ["a"]}, "body.entities: lacks shop_id, user_id"),
        ({"user_id": [1.0], "shop_id": [1]}, "user_id.0: should be a text, not the number 1.0"),
        ({"user_id": [None], "shop_id": [1]}, "body.entities.user_id.0: should be a text"),
        ({"user_id": [["a"]], "shop_id": [1]}, "body.entities.user_id.0: should be a text"),
        ({"user_id": ["a\0"], "shop_id": [1]}, "user_id.0: a NUL character cannot be"),
        ({"user_id": ["a"], "shop_id": ["1.0"]}, "shop_id.0: should be a whole number"),
        ({"user_id": ["a"], "shop_id": [1.5]}, "shop_id.0: should be a whole number"),
        ({"user_id": ["a"], "shop_id": [True]}, "shop_id.0: should be a whole number"),
        ({"user_id": ["a"], "shop_id": [None]}, "shop_id.0: should be a whole number"),
        ({"user_id": ["a"], "shop_id": [2**63]}, "shop_id.0: is a larger number"),
        ({"user_id": ["a"], "shop_id": [10**30]}, "shop_id.0: is a larger number"),
        (
            {"user_id": ["a"] * 1001, "shop_id": [1] * 1001},
            "more than 1000 rows: 1001. Ask for them in several requests, or have the",
        ),
        ({"user_id": ["a"] * 10_000, "shop_id": [1] * 10_000}, "more than 1000 rows: 10000. "),
    ],
)
def test_keys_that_cannot_be(rich_client: httpx.Client, entities: Any, detail: str) -> None:
    response = ask(rich_client, entities, features=["visits_fv:visits"])
    assert_problem(response, 422, "invalid-request", detail)


def test_half_a_character_cannot_be_a_key(rich_client: httpx.Client) -> None:
    response = rich_client.post(
        "/get-online-features",
        content=f'{{"features": ["{REF}"], "entities": {{"user_id": ["\\ud800"]}}}}',
        headers={"Content-Type": "application/json"},
    )
    assert_problem(response, 422, "invalid-request", "user_id.0: half a character cannot be")


def test_only_the_first_wrong_keys_are_told(rich_client: httpx.Client) -> None:
    entities = {"user_id": ["a"] * 900, "shop_id": [None] * 900}
    body = assert_problem(
        ask(rich_client, entities, features=["visits_fv:visits"]), 422, "invalid-request"
    )
    assert len(body["errors"]) == 10
    assert body["errors"][9]["where"] == "body.entities.shop_id.9"


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"'])
def test_a_body_that_is_none(rich_client: httpx.Client, content: str) -> None:
    response = rich_client.post(
        "/get-online-features", content=content, headers={"Content-Type": "application/json"}
    )
    assert_problem(response, 422, "invalid-request", "body")


def test_a_thousand_rows_are_answered(rich_client: httpx.Client) -> None:
    users = [*(f"user-{number}" for number in range(999)), "7590-VHVEG"]
    found = ask(rich_client, {"user_id": users}, features=[REF]).json()["results"][1]
    assert found["statuses"] == ["NOT_FOUND"] * 999 + ["PRESENT"]
    assert found["values"] == [None] * 999 + [1]


@pytest.mark.parametrize("service", ["visits_v1", "shops_v1", "friends_v1"])
def test_features_with_other_keys_are_not_found_by_a_users_id(
    rich_client: httpx.Client, service: str
) -> None:
    keys = {"visits_v1": "shop_id, user_id", "shops_v1": "other_shop_id, shop_id"}
    detail = f"found by {keys.get(service, 'friend_id, user_id')}, not by user_id alone"
    for answer in (
        rich_client.get(f"/features/7590-VHVEG?service={service}"),
        rich_client.post("/features", json={"user_ids": ["7590-VHVEG"], "service": service}),
    ):
        body = assert_problem(answer, 422, "other-keys", detail)
        assert body["detail"].endswith("ask POST /get-online-features.")


def test_a_view_without_entities_goes_with_a_users_features(rich_client: httpx.Client) -> None:
    for _ in range(2):
        body = rich_client.get("/features/7590-VHVEG?service=everyone_v1").json()
        assert body["features"] == {"user_id": "7590-VHVEG", "holidays": 11, "months_active": 1}
    response = rich_client.get("/features/7590-VHVEG?service=holidays_v1")
    assert_problem(response, 422, "other-keys", "found by no key, not by user_id alone")


CLIENT = """
import http.client, sys
host, path, size, announced = sys.argv[1:]
connection = http.client.HTTPConnection(host, timeout=30)
connection.putrequest("POST", path)
connection.putheader("Content-Type", "application/json")
if announced:
    connection.putheader("Content-Length", size)
else:
    connection.putheader("Transfer-Encoding", "chunked")
connection.endheaders()
part, sent = b"x" * 65536, 0
try:
    while sent < int(size):
        connection.send(part if announced else b"%x\\r\\n%s\\r\\n" % (len(part), part))
        sent += len(part)
except OSError:
    pass
print(sent)
print(connection.getresponse().read().decode())
"""
"""Sends a body as long as it is taken; prints how much that was, then the answer if any."""


@pytest.mark.parametrize("path", ["/get-online-features", "/features"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused_in_constant_memory(
    rich_client: httpx.Client, path: str, announced: bool
) -> None:
    """The server is this process, so that its memory is ours; the client is another one."""
    import resource

    size = 100 << 20
    host = str(rich_client.base_url).removeprefix("http://").rstrip("/")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, host, path, str(size), "1" if announced else ""],
        capture_output=True,
        text=True,
        check=False,
    )
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 << 10
    sent, *answer = done.stdout.splitlines()
    assert int(sent) < size
    if answer:  # else it was cut off before it could read one
        assert json.loads(answer[0])["status"] == 413
    assert rich_client.get("/livez").status_code == 200
