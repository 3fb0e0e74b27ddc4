"""A catalog applied while the service runs is served at once, and never half of it."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.tests.conftest import (
    TABLE,
    assert_problem,
    metric,
    ready,
    rewrite,
    serving,
    statement,
    unready,
    wait_until,
)
from api.tests.odd_objects import odd_objects
from streamflow.catalog.model import FORMAT, Catalog, Projection, Service, StoredFeature
from streamflow.feast.registry.open import open_store
from streamflow.postgres.migrations import newest

USER = "/features/7590-VHVEG"


def test_a_service_applied_by_another_process_is_served_at_once(database: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        path = f"{USER}?service=copies_v1"
        assert_problem(client.get(path), 422, "unknown-name", "known: churn_v1, profile_v1.")
        with open_store("auto") as store:
            store.apply(odd_objects(), partial=True)
        assert_problem(client.get(path), 404, "unknown-user")
        assert client.get("/services/copies_v1").json()["features"][0]["view"] == "subs_copy_fv"


def test_a_changed_and_a_removed_service_are_served_so_at_once(copy: str) -> None:
    from feast import FeatureService

    with serving() as client:
        wait_until(lambda: ready(client))
        path = f"{USER}?service=copies_v1"
        before = client.get(path).json()
        with open_store("auto") as store:
            views = [store.get_feature_view(one) for one in ("today_fv", "subs_copy_fv")]
            store.apply(FeatureService(name="copies_v1", features=views), partial=True)
        wait_until(lambda: metric(client, "streamflow_api_catalog_version") > 2, 1)
        changed = client.get(path).json()
        assert list(before["features"]) == ["user_id", "months_active"]
        assert list(changed["features"]) == ["user_id", "score", "months_active"]
        assert changed["metadata"]["contract"] != before["metadata"]["contract"]
        rewrite(lambda found: replace(found, services=without(found.services, "copies_v1")))
        assert_problem(client.get("/features/nobody?service=copies_v1"), 422, "unknown-name")
        wait_until(lambda: client.get("/services/copies_v1").status_code == 404, 1)
        assert client.get(USER).status_code == 200


def without(known: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in known.items() if key != name}


def test_a_change_that_nobody_told_of_is_served_by_the_next_read(copy: str) -> None:
    statement("ALTER TABLE ops.catalog DISABLE TRIGGER ALL")
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        for number in range(5):
            name = f"new_{number}_v1"
            rewrite(lambda found, name=name: added(found, name))  # type: ignore[misc]
            assert client.get(f"{USER}?service={name}").status_code == 200


def added(found: Catalog, name: str) -> Catalog:
    """The catalog with one more service, equal to churn_v1."""
    service = replace(found.services["churn_v1"], name=name)
    return replace(found, services={**found.services, name: service})


def test_without_the_default_service_others_are_served_but_it_is_not_ready(copy: str) -> None:
    with serving(service="absent_v1") as client:
        wait_until(unready(client, "no feature service absent_v1"))
        assert_problem(client.get("/readyz"), 503, "not-ready", "the registry has no feature serv")
        assert_problem(client.get(USER), 422, "unknown-name", "'absent_v1'")
        assert client.get(f"{USER}?service=profile_v1").status_code == 200
        rewrite(lambda found: added(found, "absent_v1"))
        wait_until(lambda: ready(client), 2)
        assert client.get(USER).status_code == 200


def test_the_only_service_of_a_project_answers_who_names_none(copy: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        alone = lambda found: {"profile_v1": found.services["profile_v1"]}  # noqa: E731
        rewrite(lambda found: replace(found, services=alone(found)))
        wait_until(lambda: client.get("/services/churn_v1").status_code == 404, 1)
        assert good(client.get(USER)).json()["metadata"]["service"] == "profile_v1"
        assert ready(client)
        rewrite(lambda found: replace(found, services={}))
        wait_until(unready(client, "no feature service churn_v1"))


def test_a_service_that_the_tables_cannot_answer_says_why(copy: str) -> None:
    why = "risk_fv: not in the online store (on demand, offline or disabled)"

    def unservable(found: Catalog) -> Catalog:
        service = Service("risk_v1", "", {}, (), "0" * 16, unservable=why)
        return replace(found, services={**found.services, "risk_v1": service})

    rewrite(unservable)
    with serving(service="risk_v1") as client:
        wait_until(unready(client, "risk_v1 cannot be served"))
        for answer in (
            client.get(USER),
            client.post("/features", json={"user_ids": ["a"], "service": "risk_v1"}),
            client.post(
                "/get-online-features",
                json={"feature_service": "risk_v1", "entities": {"user_id": ["a"]}},
            ),
        ):
            assert_problem(answer, 422, "unservable", why)
        assert client.get("/services/risk_v1").json()["unservable"] == why
        listed = client.get("/services").json()["services"]
        assert [one.get("unservable") for one in listed].count(why) == 1


NEWER = f"catalog has format {FORMAT + 1}, this version reads up to {FORMAT}"


def test_a_catalog_of_a_later_version_is_not_served(copy: str) -> None:
    rewrite(lambda found: found, format_=FORMAT + 1)
    with serving() as client:
        wait_until(unready(client, NEWER))
        for path in ("/readyz", USER, "/services"):
            assert_problem(client.get(path), 503, "not-ready", NEWER)
        rewrite(lambda found: found)
        wait_until(lambda: ready(client), 3)
        assert client.get(USER).status_code == 200


@pytest.mark.parametrize("cache_users", [0, 100])
def test_the_last_catalog_stays_when_a_later_version_wrote_another(
    copy: str, cache_users: int
) -> None:
    with serving(cache_users=cache_users) as client:
        wait_until(lambda: ready(client))
        before = client.get(USER).json()["features"]
        rewrite(lambda found: found, format_=FORMAT + 1)
        wait_until(lambda: metric(client, "streamflow_api_catalog_too_new") == 1)
        assert client.get(USER).json()["features"] == before
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["status"] == "ready"
        assert NEWER in answer.json()["detail"]
        column = '"support_agg_90d_fv:support_tickets_90d"'
        statement(f"ALTER TABLE {TABLE} RENAME COLUMN {column} TO elsewhere")
        assert_problem(client.get("/readyz"), 503, "not-ready", NEWER)
        assert_problem(client.get("/features/0002-ORFBO"), 503, "not-ready", NEWER)
        statement(f"ALTER TABLE {TABLE} RENAME COLUMN elsewhere TO {column}")
        rewrite(lambda found: found)
        wait_until(lambda: client.get("/readyz").json() == {"status": "ready"}, 3)
        assert metric(client, "streamflow_api_catalog_too_new") == 0


SCHEMA = "the database's schema is of a later version: it can be used from migration"


def schema_usable_from(number: int) -> None:
    """Enter a later migration and let the API notice it, as a later version would."""
    statement(f"INSERT INTO ops.migrations VALUES ({newest() + 1}, 'later', 'x', {number})")
    statement("UPDATE ops.catalog SET version = version + 1")


def test_a_schema_of_a_later_version_is_served_if_it_can_be_used(copy: str) -> None:
    schema_usable_from(newest())
    with serving() as client:
        wait_until(lambda: client.get("/readyz").json() == {"status": "ready"})
        assert client.get(USER).status_code == 200


def test_a_schema_that_cannot_be_used_is_said(copy: str) -> None:
    """A pod that runs goes on with the catalog that it knows, a new one does not begin."""
    with serving() as running:
        wait_until(lambda: ready(running))
        schema_usable_from(newest() + 1)
        wait_until(lambda: metric(running, "streamflow_api_catalog_too_new") == 1, 2)
        assert SCHEMA.lower() in running.get("/readyz").json()["detail"].lower()
        assert running.get(USER).status_code == 200
        with serving() as client:
            wait_until(unready(client, SCHEMA[1:]))
            for path in ("/readyz", USER, "/services"):
                assert_problem(client.get(path), 503, "not-ready", SCHEMA)
            statement(f"DELETE FROM ops.migrations WHERE number > {newest()}")
            wait_until(lambda: ready(client), 3)
            assert client.get(USER).status_code == 200


def test_a_catalog_that_makes_no_sense_does_not_replace_the_last_one(copy: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        statement("UPDATE ops.catalog SET version = version + 1, document = '{\"views\": 1}'")
        wait_until(lambda: "cannot be read" in client.get("/readyz").json().get("detail", ""))
        assert client.get(USER).status_code == 200


def swapped(found: Catalog, feature: StoredFeature) -> Catalog:
    """The catalog with today_fv's one feature exchanged, and a service that takes it."""
    view = replace(found.views["today_fv"], features=(feature,))
    projection = Projection("today_fv", "today_fv", {}, (feature.name,))
    changed = replace(found, views={**found.views, "today_fv": view})
    service = Service("swap_v1", "", {}, (projection,), "")
    with_service = replace(changed, services={**found.services, "swap_v1": service})
    hash_ = with_service.contracts["swap_v1"].hash
    return replace(
        with_service,
        services={**found.services, "swap_v1": replace(service, contract=hash_)},
    )


FEATURES = (
    StoredFeature("value", "Int64", "swap", "bigint", ""),
    StoredFeature("value", "String", "swap", "text", ""),
    StoredFeature("score", "Float32", "swap_score", "real", ""),
)
"""The same column with another type, then another column."""


def swap(number: int) -> str:
    """Make feature `number` the only one, in one transaction with its column and values."""
    feature = FEATURES[number]
    sql = (
        f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS swap, DROP COLUMN IF EXISTS swap_score,"
        f" ADD COLUMN {feature.column} {feature.column_type} DEFAULT '{number}'"
    )
    contract = ""

    def change(found: Catalog) -> Catalog:
        nonlocal contract
        changed = swapped(found, feature)
        contract = changed.services["swap_v1"].contract
        return changed

    rewrite(change, sql)
    return contract


def good(response: httpx.Response) -> httpx.Response:
    """A response that is no problem."""
    assert response.status_code == 200, response.text
    return response


def answered(client: httpx.Client, way: int) -> tuple[str, str, Any]:
    """Contract, name and value of the one feature of swap_v1, asked in one of three ways."""
    if way == 0:
        body = good(client.get(f"{USER}?service=swap_v1")).json()
        metadata, features = body["metadata"], body["features"]
    elif way == 1:
        asked: dict[str, Any] = {"user_ids": ["7590-VHVEG", "nobody"], "service": "swap_v1"}
        body = good(client.post("/features", json=asked)).json()
        metadata, features = body["metadata"], body["results"][0]["features"]
    else:
        asked = {"feature_service": "swap_v1", "entities": {"user_id": ["7590-VHVEG"]}}
        response = good(client.post("/get-online-features", json=asked))
        body = response.json()
        name = body["metadata"]["feature_names"][1]
        return response.headers["contract"], name, body["results"][1]["values"][0]
    [name] = set(features) - {"user_id"}
    return metadata["contract"], name, features[name]


@pytest.mark.parametrize("cache_users", [0, 1000])
def test_no_answer_mixes_two_catalogs(copy: str, cache_users: int) -> None:
    contracts = {swap(number): number for number in (0, 1, 2)}
    expected = {0: ("value", 0), 1: ("value", "1"), 2: ("score", 2.0)}
    with serving(cache_users=cache_users) as client, ThreadPoolExecutor(6) as threads:
        wait_until(lambda: ready(client))
        is_over = threading.Event()

        counts: list[Counter[int]] = [Counter() for _ in range(6)]

        def ask(thread: int) -> None:
            while not is_over.is_set():
                contract, name, value = answered(client, thread % 3)
                number = contracts[contract]
                assert (name, value) == expected[number]
                assert type(value) is type(expected[number][1])
                counts[thread][number] += 1

        asking = [threads.submit(ask, thread) for thread in range(6)]
        try:
            for turn in range(600):  # more than 60 where the machine is slow
                swap(turn % 3)
                seen = sum(map(Counter, counts), Counter[int]())
                if turn >= 60 and min(seen[number] for number in expected) > 20:
                    break
        finally:
            is_over.set()
        for one in asking:
            one.result()
    assert all(seen[number] > 20 for number in expected), seen
