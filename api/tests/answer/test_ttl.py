"""Values older than their view's ttl are served, null or refused, as the view says."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from api.answer import instants
from api.tests.conftest import TABLE, assert_problem, ready, rewrite, serving, wait_until
from streamflow.catalog.model import Catalog

PATH = "/features/7590-VHVEG?features=today_fv:score,subs_profile_fv:months_active"


def limited(policy: str, ttl_s: float = 3600, fresh_for_s: float = 3600) -> None:
    """Set the ttl of today_fv."""

    def change(found: Catalog) -> Catalog:
        view = replace(
            found.views["today_fv"],
            ttl_s=ttl_s,
            ttl_policy=policy,  # type: ignore[arg-type]
            fresh_for_s=fresh_for_s,
        )
        return replace(found, views={**found.views, "today_fv": view})

    rewrite(change)


def age(seconds: float) -> datetime:
    """Make the values of today_fv so old; returns the instant that they describe."""
    as_of = datetime.now(UTC) - timedelta(seconds=seconds)
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f'UPDATE {TABLE} SET "today_fv@event_ts" = %s', [as_of])  # type: ignore[call-overload]
    return as_of


@pytest.fixture(params=[0, 1000], ids=["read", "kept"])
def client(copy: str, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A server of a database that a test may change, with and without kept answers."""
    with serving(cache_users=request.param) as client:
        wait_until(lambda: ready(client))
        yield client


def asked(client: httpx.Client) -> dict[str, Any]:
    """The answer, the same for one user and for many, twice."""
    first = client.get(PATH)
    assert first.status_code == 200, first.text
    one: dict[str, Any] = client.get(PATH).json()
    body = {"user_ids": ["7590-VHVEG"], "features": PATH.partition("=")[2].split(",")}
    [result] = client.post("/features", json=body).json()["results"]
    assert result["features"] == one["features"]
    for view, other in zip(
        result["views"].values(), one["metadata"]["views"].values(), strict=True
    ):
        passed = view["age_seconds"] - other["age_seconds"]
        assert 0 <= passed < 10
        assert view == {**other, "age_seconds": other["age_seconds"] + passed}
    return one


def online(client: httpx.Client) -> tuple[Any, str, str]:
    """Value, status and event time of today_fv's feature as Feast's protocol has them."""
    body = {"features": ["today_fv:score"], "entities": {"user_id": ["7590-VHVEG"]}}
    found = client.post("/get-online-features", json=body).json()["results"][1]
    return found["values"][0], found["statuses"][0], found["event_timestamps"][0]


def test_old_values_are_served_and_told(client: httpx.Client) -> None:
    limited("serve")
    as_of = age(3601)
    body = asked(client)
    view = body["metadata"]["views"]["today_fv"]
    assert body["features"]["score"] == pytest.approx(0.1)
    assert (view["status"], view["ttl_seconds"]) == ("stale", 3600)
    assert 3601 <= view["age_seconds"] < 3611
    assert "ttl_seconds" not in body["metadata"]["views"]["subs_profile_fv"]
    assert online(client) == (
        pytest.approx(0.1),
        "PRESENT",
        instants.as_protobuf(instants.from_datetime(as_of)),
    )


def test_old_values_are_null_and_others_are_not(client: httpx.Client) -> None:
    limited("null")
    as_of = age(3601)
    body = asked(client)
    assert body["features"]["score"] is None
    assert body["features"]["months_active"] == 1
    view = body["metadata"]["views"]["today_fv"]
    assert (view["as_of"], view["status"]) == (
        instants.rfc3339(instants.from_datetime(as_of)),
        "stale",
    )
    stamp = instants.as_protobuf(instants.from_datetime(as_of))
    assert online(client) == (None, "OUTSIDE_MAX_AGE", stamp)
    age(3500)
    wait_until(lambda: client.get(PATH).json()["features"]["score"] is not None, 2)
    assert asked(client)["features"]["score"] == pytest.approx(0.1)
    assert online(client)[:2] == (pytest.approx(0.1), "PRESENT")


def test_old_values_are_refused_by_the_name_of_their_view(client: httpx.Client) -> None:
    limited("refuse")
    age(3599)
    assert asked(client)["features"]["score"] == pytest.approx(0.1)
    age(7200)
    body = {"user_ids": ["7590-VHVEG"], "features": ["today_fv:score"]}
    wait_until(lambda: client.get(PATH).status_code == 503, 1)
    for answer in (
        client.get(PATH),
        client.post("/features", json=body),
        client.post(
            "/get-online-features",
            json={"features": body["features"], "entities": {"user_id": ["7590-VHVEG"]}},
        ),
    ):
        detail = "the values of today_fv are 2:00:00"
        found = assert_problem(answer, 503, "stale-features", detail)
        assert "its ttl is 1:00:00." in found["detail"]
    other = client.get("/features/7590-VHVEG?features=subs_profile_fv:months_active")
    assert other.status_code == 200
    users = {"user_ids": ["nobody"], "features": ["today_fv:score"]}
    assert client.post("/features", json=users).json()["unknown"] == ["nobody"]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["null", "refuse"])
def test_a_value_grows_too_old_between_two_requests(client: httpx.Client, policy: str) -> None:
    """The rule holds, too, where the answer is kept from the first one."""
    limited(policy, ttl_s=4)
    as_of = age(1)
    first = client.get(PATH)
    assert first.json()["features"]["score"] == pytest.approx(0.1)
    seen = []
    while datetime.now(UTC) < as_of + timedelta(seconds=5):
        before = datetime.now(UTC)
        answer = client.get(PATH)
        after = datetime.now(UTC)
        is_there = answer.status_code == 200 and answer.json()["features"]["score"] is not None
        if after <= as_of + timedelta(seconds=4):
            assert is_there
        elif before > as_of + timedelta(seconds=4):
            assert not is_there
        seen.append(is_there)
        time.sleep(0.002)
    assert seen.count(True) > 5
    assert seen.count(False) > 5


def test_a_ttl_that_feast_knows_arrives_here(database: str) -> None:
    from feast import FeatureService

    from api.tests.odd_objects import odd_objects
    from streamflow.feast.registry.open import open_store

    user, *others = odd_objects()
    view = next(one for one in others if getattr(one, "name", "") == "today_fv")
    view.ttl, view.tags = timedelta(hours=2), {"ttl_policy": "refuse"}
    with open_store("auto") as store:
        store.apply([user, view, FeatureService(name="limited_v1", features=[view])], partial=True)
        as_of = datetime.now(UTC) - timedelta(hours=3)
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(
                f'INSERT INTO {TABLE} (user_id, "today_fv@event_ts", "today_fv:score")'  # type: ignore[call-overload]
                " VALUES ('old', %s, 1), ('new', now(), 1)",
                [as_of],
            )
    with serving() as client:
        wait_until(lambda: ready(client))
        answer = client.get("/features/old?service=limited_v1")
        assert_problem(answer, 503, "stale-features", "today_fv are 3:00:0")
        found = client.get("/features/new?service=limited_v1").json()["metadata"]["views"]
        assert found["today_fv"]["ttl_seconds"] == 7200
