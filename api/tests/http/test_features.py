"""Features over HTTP: exact values, order, ages, many users."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import pytest

from api.http import schemas, service_schemas
from api.tests.conftest import assert_problem
from api.tests.odd_objects import ODD_USERS

AS_OF = "2024-01-31T00:00:00Z"
VHVEG = {
    "user_id": "7590-VHVEG",
    "months_active": 1,
    "monthly_fee": 29.850000381469727,
    "paperless_billing": True,
    "plan_stream_tv": False,
    "plan_stream_movies": False,
    "net_service": "DSL",
    "watch_hours_30d": 24.48365020751953,
    "avg_session_mins_7d": 29.141044616699219,
    "unique_devices_30d": 3,
    "skips_7d": 4,
    "rebuffer_events_7d": 1,
    "failed_payments_90d": 1,
    "support_tickets_90d": 0,
    "ticket_avg_resolution_hrs_90d": 16.0,
}
ORFBO = {
    "user_id": "0002-ORFBO",
    "months_active": 9,
    "monthly_fee": 65.5999984741211,
    "paperless_billing": True,
    "plan_stream_tv": True,
    "plan_stream_movies": False,
    "net_service": "DSL",
    "watch_hours_30d": 30.80069923400879,
    "avg_session_mins_7d": 29.141044616699219,
    "unique_devices_30d": 2,
    "skips_7d": 7,
    "rebuffer_events_7d": 1,
    "failed_payments_90d": 0,
    "support_tickets_90d": 2,
    "ticket_avg_resolution_hrs_90d": 4.699999809265137,
}
VIEWS = ["subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv"]


@pytest.mark.parametrize("expected", [VHVEG, ORFBO], ids=lambda one: one["user_id"])
def test_a_users_features_are_exact_and_in_the_services_order(
    client: httpx.Client, expected: dict[str, object]
) -> None:
    response = client.get(f"/features/{expected['user_id']}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["features"] == expected
    assert list(body["features"]) == list(expected)
    assert list(body["metadata"]["views"]) == VIEWS
    assert (body["user_id"], body["metadata"]["service"]) == (expected["user_id"], "churn_v1")
    schemas.UserFeatures.model_validate(body)


def test_a_32_bit_float_is_printed_as_the_double_it_equals(client: httpx.Client) -> None:
    text = client.get("/features/7590-VHVEG").text
    assert '"monthly_fee":29.850000381469727,"paperless_billing":true,' in text


def test_naming_the_default_service_changes_nothing_but_another_one_does(
    client: httpx.Client,
) -> None:
    default = client.get("/features/7590-VHVEG").json()
    named = client.get("/features/7590-VHVEG", params={"service": "churn_v1"}).json()
    profile = client.get("/features/7590-VHVEG", params={"service": "profile_v1"}).json()
    assert named["features"] == default["features"]
    assert named["metadata"]["contract"] == default["metadata"]["contract"]
    assert list(profile["features"].items()) == list(VHVEG.items())[:4]
    assert list(profile["metadata"]["views"]) == ["subs_profile_fv"]
    assert profile["metadata"]["contract"] != default["metadata"]["contract"]


def test_the_contract_is_the_one_of_feature_repo(client: httpx.Client, loaded: str) -> None:
    from streamflow.feast.registry.contracts import contract_of
    from streamflow.feast.registry.open import open_store

    with open_store() as store:
        expected = contract_of(store, "churn_v1")
    answered = client.get("/features/7590-VHVEG").json()["metadata"]["contract"]
    assert answered == client.get("/services/churn_v1").json()["contract"] == expected.hash


@pytest.mark.parametrize(
    "query",
    [
        "features=usage_agg_30d_fv:skips_7d&features=subs_profile_fv:months_active",
        "features=usage_agg_30d_fv:skips_7d,subs_profile_fv:months_active",
        "features=usage_agg_30d_fv:skips_7d,%20subs_profile_fv:months_active"
        "&features=usage_agg_30d_fv:skips_7d",
    ],
)
def test_single_features_are_answered_once_in_the_order_asked_for(
    client: httpx.Client, query: str
) -> None:
    body = client.get(f"/features/0002-ORFBO?{query}").json()
    assert list(body["features"].items()) == [
        ("user_id", "0002-ORFBO"),
        ("skips_7d", 7),
        ("months_active", 9),
    ]
    assert body["metadata"]["service"] is None
    assert re.fullmatch("[0-9a-f]{16}", body["metadata"]["contract"])
    assert list(body["metadata"]["views"]) == ["usage_agg_30d_fv", "subs_profile_fv"]


def test_features_of_one_name_in_two_views_carry_their_views_name(client: httpx.Client) -> None:
    features = (
        "subs_profile_fv:months_active,subs_copy_fv:months_active,subs_profile_fv:net_service"
    )
    body = client.get("/features/0002-ORFBO", params={"features": features}).json()
    assert list(body["features"].items()) == [
        ("user_id", "0002-ORFBO"),
        ("subs_profile_fv__months_active", 9),
        ("subs_copy_fv__months_active", 1009),
        ("net_service", "DSL"),
    ]


def test_a_null_is_null_and_its_view_is_there(client: httpx.Client) -> None:
    response = client.get("/features/nothing?features=odd_fv:n")
    assert '"n":null' in response.text
    assert response.json()["metadata"]["views"]["odd_fv"]["as_of"] == AS_OF


def test_a_view_that_lacks_the_user_is_missing_and_its_features_null(client: httpx.Client) -> None:
    body = client.get("/features/7590-VHVEG?features=odd_fv:n,subs_profile_fv:months_active").json()
    assert body["features"] == {"user_id": "7590-VHVEG", "n": None, "months_active": 1}
    missing = {"as_of": None, "age_seconds": None, "status": "missing"}
    assert body["metadata"]["views"]["odd_fv"] == missing


@pytest.mark.parametrize(
    ("view", "status"),
    [
        ("today_fv", "fresh"),
        ("yesterday_fv", "stale"),
        ("subs_profile_fv", "stale"),
        ("subs_copy_fv", "fresh"),
    ],
)
def test_values_are_stale_past_the_days_that_their_view_is_tagged_with(
    client: httpx.Client, view: str, status: str
) -> None:
    name = "months_active" if view.startswith("subs") else "score"
    found = client.get(f"/features/7590-VHVEG?features={view}:{name}").json()["metadata"]["views"]
    assert found[view]["status"] == status


def test_the_age_is_the_time_since_as_of_in_whole_seconds(client: httpx.Client) -> None:
    before = datetime.now(UTC)
    [view] = (
        client.get("/features/7590-VHVEG?service=profile_v1").json()["metadata"]["views"].values()
    )
    after = datetime.now(UTC)
    instant = datetime(2024, 1, 31, tzinfo=UTC)
    assert view["as_of"] == AS_OF
    assert isinstance(view["age_seconds"], int)
    assert (
        int((before - instant).total_seconds())
        <= view["age_seconds"]
        <= int((after - instant).total_seconds())
    )


@pytest.mark.parametrize("user_id", ODD_USERS, ids=ascii)
def test_a_user_id_may_hold_anything_that_postgresql_can_store(
    client: httpx.Client, user_id: str
) -> None:
    response = client.get(f"/features/{quote(user_id, safe='')}?features=odd_fv:n")
    assert response.status_code == 200, response.text
    expected = {"user_id": user_id, "n": ODD_USERS[user_id]}
    assert response.json()["features"] == expected
    body = {"user_ids": [user_id], "features": ["odd_fv:n"]}
    [result] = client.post("/features", json=body).json()["results"]
    assert result["features"] == expected


def test_a_user_without_any_features_is_not_found(client: httpx.Client) -> None:
    assert_problem(client.get("/features/0000-NOONE"), 404, "unknown-user", "'0000-NOONE'")


def test_a_user_is_not_found_where_the_views_asked_for_lack_it(client: httpx.Client) -> None:
    assert_problem(client.get("/features/7590-VHVEG?features=odd_fv:n"), 404, "unknown-user")


def test_many_users_are_answered_in_order_with_unknown_ones_listed(client: httpx.Client) -> None:
    asked = ["0002-ORFBO", "nobody-2", "7590-VHVEG", "nobody-1", "0002-ORFBO", "nobody-2"]
    response = client.post("/features", json={"user_ids": asked})
    assert response.status_code == 200
    body = response.json()
    assert [one["features"] for one in body["results"]] == [ORFBO, VHVEG, ORFBO]
    assert [list(one["features"]) for one in body["results"]] == [list(VHVEG)] * 3
    assert [one["user_id"] for one in body["results"]] == ["0002-ORFBO", "7590-VHVEG", "0002-ORFBO"]
    assert all(list(one["views"]) == VIEWS for one in body["results"])
    assert body["unknown"] == ["nobody-2", "nobody-1", "nobody-2"]
    assert body["metadata"]["service"] == "churn_v1"
    schemas.BatchFeatures.model_validate(body)


def test_many_users_may_be_asked_for_a_service_or_single_features(client: httpx.Client) -> None:
    users = {"user_ids": ["7590-VHVEG"]}
    service = client.post("/features", json={**users, "service": "profile_v1"}).json()
    single = client.post(
        "/features", json={**users, "features": ["usage_agg_30d_fv:skips_7d"]}
    ).json()
    assert service["results"][0]["features"] == dict(list(VHVEG.items())[:4])
    assert service["metadata"]["service"] == "profile_v1"
    assert single["results"][0]["features"] == {"user_id": "7590-VHVEG", "skips_7d": 4}
    assert single["metadata"]["service"] is None


def test_a_thousand_users_are_answered_and_one_more_is_refused(client: httpx.Client) -> None:
    asked = [f"user-{number}" for number in range(999)] + ["7590-VHVEG"]
    body = client.post("/features", json={"user_ids": asked}).json()
    assert body["unknown"] == asked[:999]
    assert [one["features"] for one in body["results"]] == [VHVEG]
    refused = client.post("/features", json={"user_ids": [*asked, "0002-ORFBO"]})
    assert_problem(refused, 422, "invalid-request", "body.user_ids: more than 1000 users: 1001.")


def test_requests_at_the_same_time_get_their_own_answers(client: httpx.Client) -> None:
    def ask(number: int) -> bool:
        expected, other = (VHVEG, ORFBO) if number % 2 else (ORFBO, VHVEG)
        one = client.get(f"/features/{expected['user_id']}").json()
        many = client.post("/features", json={"user_ids": [other["user_id"]]}).json()
        return one["features"] == expected and many["results"][0]["features"] == other

    with ThreadPoolExecutor(20) as threads:
        assert all(threads.map(ask, range(100)))


def test_all_services_are_listed(client: httpx.Client) -> None:
    body = client.get("/services").json()
    assert [(one["name"], one["features"]) for one in body["services"]] == [
        ("churn_v1", 14),
        ("copies_v1", 1),
        ("profile_v1", 3),
    ]
    assert body["services"][0]["description"] == "All features of the churn model, version 1."
    service_schemas.Services.model_validate(body)


def test_a_services_contract_lists_its_features_in_order(client: httpx.Client) -> None:
    body = client.get("/services/churn_v1").json()
    assert [one["name"] for one in body["features"]] == list(VHVEG)[1:]
    assert body["features"][1] == {
        "view": "subs_profile_fv",
        "name": "monthly_fee",
        "type": "Float32",
        "description": "Fee of the current plan, in US dollars per month.",
    }
    service_schemas.ServiceContract.model_validate(body)
