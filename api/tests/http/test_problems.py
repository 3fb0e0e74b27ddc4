"""Every failure is a problem that says what to do and nothing internal."""

import logging
from typing import Any

import httpx
import pytest

from api.reading.features import Features
from api.tests.conftest import assert_problem

VIEWS = [
    "odd_fv",
    "payments_agg_90d_fv",
    "subs_copy_fv",
    "subs_profile_fv",
    "support_agg_90d_fv",
    "today_fv",
    "usage_agg_30d_fv",
    "yesterday_fv",
]
SERVICES = ["churn_v1", "copies_v1", "profile_v1"]


def ask(client: httpx.Client, way: str, **asked: Any) -> httpx.Response:
    """GET for one user or POST for many, asking the same."""
    if way == "GET":
        return client.get("/features/7590-VHVEG", params=asked)
    return client.post("/features", json={"user_ids": ["7590-VHVEG"], **asked})


both = pytest.mark.parametrize("way", ["GET", "POST"])


@both
def test_an_unknown_service_names_the_known_ones(client: httpx.Client, way: str) -> None:
    detail = "Unknown feature service 'churn_v9'; known: churn_v1, copies_v1, profile_v1."
    body = assert_problem(ask(client, way, service="churn_v9"), 422, "unknown-name")
    assert (body["detail"], body["known"]) == (detail, SERVICES)


@both
def test_an_unknown_view_names_the_known_ones(client: httpx.Client, way: str) -> None:
    response = ask(client, way, features=["subs_profile_fv:months_active", "profile:x"])
    body = assert_problem(response, 422, "unknown-name", "unknown feature view 'profile'")
    assert body["known"] == VIEWS


@both
def test_an_unknown_feature_names_those_of_its_view(client: httpx.Client, way: str) -> None:
    response = ask(client, way, features=["support_agg_90d_fv:tickets"])
    body = assert_problem(response, 422, "unknown-name", "'support_agg_90d_fv:tickets'")
    assert body["known"] == [
        "support_agg_90d_fv:support_tickets_90d",
        "support_agg_90d_fv:ticket_avg_resolution_hrs_90d",
    ]


@both
def test_service_and_features_together_are_refused(client: httpx.Client, way: str) -> None:
    response = ask(client, way, service="churn_v1", features=["subs_profile_fv:months_active"])
    assert_problem(response, 422, "invalid-request", "give service or features, not both")


@both
@pytest.mark.parametrize("features", [[""], ["subs_profile_fv:months_active", ""], [" , "]])
def test_an_empty_feature_is_refused(client: httpx.Client, way: str, features: list[str]) -> None:
    response = ask(client, way, features=features)
    assert_problem(response, 422, "invalid-request", "features: is empty; give view:name")


def test_an_empty_list_of_features_is_refused(client: httpx.Client) -> None:
    assert_problem(ask(client, "POST", features=[]), 422, "invalid-request", "is empty")


@both
@pytest.mark.parametrize("feature", ["months_active", ":months_active", "subs_profile_fv:"])
def test_a_feature_without_view_or_name_is_refused(
    client: httpx.Client, way: str, feature: str
) -> None:
    response = ask(client, way, features=[feature])
    assert_problem(response, 422, "invalid-request", "a feature is written view:name")


@both
def test_what_is_not_known_is_refused_and_not_ignored(client: httpx.Client, way: str) -> None:
    assert_problem(ask(client, way, sevice="x"), 422, "invalid-request", "sevice: is not known")


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        (f"/features/{'x' * 129}", "at most 128 characters"),
        (f"/features/{'%C3%AB' * 129}", "at most 128 characters"),
        ("/features/a%00b", "a NUL character cannot be in a user id"),
        ("/features/", "at least 1 character"),
    ],
)
def test_a_user_id_that_cannot_be_is_refused(client: httpx.Client, path: str, detail: str) -> None:
    assert_problem(client.get(path), 422, "invalid-request", detail)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"user_ids": []}', "body.user_ids: List should have at least 1 item"),
        ('{"user_ids": [""]}', "body.user_ids.0: String should have at least 1 character"),
        ('{"user_ids": ["a", "%s"]}' % ("x" * 129), "body.user_ids.1"),
        ('{"user_ids": ["a\\u0000b"]}', "a NUL character cannot be"),
        ('{"user_ids": ["\\ud800"]}', "body.user_ids.0"),
        ('{"user_ids": [null]}', "body.user_ids.0: Input should be a valid string"),
        ('{"user_ids": [7.5]}', "body.user_ids.0: should be a text, not the number 7.5"),
        ('{"user_ids": ["a"], "service": 1}', "body.service"),
        ('{"user_ids": ["a"], "features": "a:b"}', "body.features"),
        ('{"user_ids": ["a"], "user id\\n": 1}', r"body.'user id\n': is not known"),
        ('{"user_ids": "a"}', "body.user_ids"),
        ('{"service": "churn_v1"}', "body.user_ids: Field required"),
        ('["a"]', "body"),
        ("{", "is not JSON"),
        ("", "body"),
    ],
)
def test_a_body_that_is_not_as_described_is_refused(
    client: httpx.Client, body: str, detail: str
) -> None:
    response = client.post("/features", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid-request", detail)


def test_a_body_that_is_no_text_is_refused(client: httpx.Client) -> None:
    json = {"Content-Type": "application/json"}
    assert_problem(
        client.post("/features", content=b'{"\xff": 1}', headers=json), 422, "invalid-request"
    )
    assert_problem(
        client.post("/features", content=b"[" * 100_000, headers=json), 422, "invalid-request"
    )


def test_a_body_that_is_not_announced_as_json_is_refused(client: httpx.Client) -> None:
    response = client.post("/features", data={"user_ids": "a"})
    assert_problem(response, 422, "invalid-request", "not a JSON object sent as application/json")


def test_only_the_first_of_many_faults_are_shown(client: httpx.Client) -> None:
    response = client.post("/features", json={"user_ids": [None] * 900})
    body = assert_problem(response, 422, "invalid-request", "; and 890 more")
    assert len(body["errors"]) == 10
    assert body["errors"][9]["where"] == "body.user_ids.9"


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit_is_refused(client: httpx.Client, announced: bool) -> None:
    body = b'{"user_ids": ["%s"]}' % (b"x" * (1 << 20))
    content = body if announced else iter([body[: 1 << 19], body[1 << 19 :]])
    headers = {"Content-Type": "application/json"}
    response = client.post("/features", content=content, headers=headers)  # type: ignore[arg-type]
    assert_problem(response, 413, None, "the body has more than 1048576 bytes")
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/services/churn_v1/", "/docs/index.html"])
def test_a_path_that_is_not_there_is_not_found(client: httpx.Client, path: str) -> None:
    assert_problem(client.get(path), 404, None)


def test_a_service_that_is_not_there_is_not_found(client: httpx.Client) -> None:
    body = assert_problem(client.get("/services/churn_v9"), 404, "unknown-name", "'churn_v9'")
    assert body["known"] == SERVICES


def test_another_method_is_refused_and_the_right_one_named(client: httpx.Client) -> None:
    response = client.delete("/features/7590-VHVEG")
    assert_problem(response, 405, None)
    assert response.headers["allow"] == "GET"


@both
def test_a_mistake_of_ours_tells_its_id_alone_and_logs_the_rest(
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("psycopg at /secret/place")

    monkeypatch.setattr(Features, "one", broken)
    monkeypatch.setattr(Features, "many", broken)
    response = ask(client, way)
    body = assert_problem(response, 500, None)
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    assert "secret" not in response.text
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.request_id == response.headers["x-request-id"]  # type: ignore[attr-defined]
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])
