"""A caller that names the contract it expects is told when there is another one."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.tests.conftest import assert_problem, ready, rewrite, serving, wait_until

CHURN = "210c99bb71d5f508"
OTHER = "0123456789abcdef"


def ask(
    client: httpx.Client, way: str, contract: str, *, by: str, **selection: Any
) -> httpx.Response:
    """Ask for a user in one of three ways, with the contract in the header or the query."""
    headers = {"If-Contract": contract} if by == "header" else {}
    query = {"contract": contract} if by == "query" else {}
    if way == "GET":
        return client.get("/features/7590-VHVEG", params={**query, **selection}, headers=headers)
    if way == "POST":
        body = {"user_ids": ["7590-VHVEG"], **selection}
        return client.post("/features", json=body, params=query, headers=headers)
    renamed = {
        "feature_service" if key == "service" else key: one for key, one in selection.items()
    }
    body = {"entities": {"user_id": ["7590-VHVEG"]}, **(renamed or {"feature_service": "churn_v1"})}
    return client.post("/get-online-features", json=body, params=query, headers=headers)


ways = pytest.mark.parametrize("way", ["GET", "POST", "online"])
places = pytest.mark.parametrize("by", ["header", "query"])


@ways
@places
def test_the_contract_that_is_served_is_answered(client: httpx.Client, way: str, by: str) -> None:
    for _ in range(2):  # the second one by the direct route
        response = ask(client, way, CHURN, by=by)
        assert response.status_code == 200, response.text


@ways
@places
def test_another_contract_is_refused_with_both(client: httpx.Client, way: str, by: str) -> None:
    for _ in range(2):
        body = assert_problem(
            ask(client, way, OTHER, by=by),
            409,
            "contract-mismatch",
            f"contract {CHURN}, not {OTHER}",
        )
        assert (body["expected"], body["actual"]) == (OTHER, CHURN)


@ways
@places
def test_single_features_have_a_contract_too(client: httpx.Client, way: str, by: str) -> None:
    features = ["usage_agg_30d_fv:skips_7d", "subs_profile_fv:months_active"]
    refused = ask(client, way, OTHER, by=by, features=features)
    actual = assert_problem(refused, 409, "contract-mismatch")["actual"]
    assert ask(client, way, actual, by=by, features=features).status_code == 200
    assert ask(client, way, actual, by=by, features=features[::-1]).status_code == 409
    single = client.get("/features/7590-VHVEG", params={"features": features}).json()
    assert single["metadata"]["contract"] == actual


@ways
@places
@pytest.mark.parametrize(
    "contract", ["", "123", CHURN.upper(), f"{CHURN}0", "x" * 16, f'"{CHURN}"']
)
def test_what_can_be_no_contract_is_refused(
    client: httpx.Client, way: str, by: str, contract: str
) -> None:
    response = ask(client, way, contract, by=by)
    assert_problem(response, 422, "invalid-request", "should match pattern")


def test_header_and_query_are_both_looked_at(client: httpx.Client) -> None:
    path = f"/features/7590-VHVEG?contract={CHURN}"
    assert client.get(path, headers={"If-Contract": CHURN}).status_code == 200
    response = client.get(path, headers={"If-Contract": OTHER})
    assert_problem(response, 409, "contract-mismatch")


@ways
def test_the_online_protocol_tells_its_contract_in_a_header(client: httpx.Client, way: str) -> None:
    response = ask(client, way, CHURN, by="header")
    assert response.headers.get("contract") == (CHURN if way == "online" else None)


def test_a_caller_is_told_as_soon_as_the_contract_changes(copy: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        assert ask(client, "GET", CHURN, by="header").status_code == 200
        rewrite(
            lambda found: replace(
                found,
                services={**found.services, "churn_v1": found.services["profile_v1"]},
            )
        )
        now = client.get("/services/profile_v1").json()["contract"]
        assert_problem(ask(client, "POST", CHURN, by="header"), 409, "contract-mismatch")
        assert ask(client, "GET", now, by="header").status_code == 200
