"""A contract that its service had before is answered by its own list, while all of it is there."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from feast import FeatureService, FeatureView, Field
from feast.types import Float64

from api.reading.counts import RequestCounts
from api.tests.access.key_files import ONE, bearer, line
from api.tests.conftest import (
    assert_problem,
    metric,
    ready,
    rewrite,
    serving,
    statement,
    wait_until,
)
from api.tests.http.test_contracts import CHURN, OTHER, ask, places, ways
from streamflow.catalog.model import Catalog
from streamflow.feast.registry.open import open_store

PROFILE = "3c0829dcc18ce4d1"
"""profile_v1: months_active, monthly_fee, paperless_billing."""
USER = "7590-VHVEG"
NAMES = ["user_id", "months_active", "monthly_fee", "paperless_billing"]


def service(*names: str, name: str = "profile_v1", alias: str = "") -> str:
    """Gives profile_v1 other features of subs_profile_fv; returns its contract then."""
    with open_store("auto") as store:
        view = store.get_feature_view("subs_profile_fv")
        view = view.with_name(alias) if alias else view
        store.apply(FeatureService(name=name, features=[view[list(names)]]), partial=True)
    with psycopg.connect() as connection:
        found = connection.execute(
            "SELECT document->'services'->%s->>'contract' FROM ops.catalog", [name]
        ).fetchone()
    assert found is not None
    return str(found[0])


def view_with(**changed: Any) -> None:
    """Gives subs_profile_fv other features: a type by name, None to take one away."""
    with open_store("auto") as store:
        view = store.get_feature_view("subs_profile_fv")
        schema = [
            Field(name=one.name, dtype=changed.get(one.name, one.dtype))
            for one in view.schema
            if changed.get(one.name, one.dtype) is not None
        ]
        entity = store.get_entity("user")
        source = store.get_data_source("subs_profile_source")
        ttl, tags = view.ttl, view.tags
        store.apply(
            FeatureView(
                name=view.name, entities=[entity], schema=schema, source=source, ttl=ttl, tags=tags
            ),
            partial=True,
        )


def wait_until_heard(client: httpx.Client) -> None:
    """Returns when the API has heard of the newest catalog: until then it gives kept answers."""
    with psycopg.connect() as connection:
        ((version,),) = connection.execute("SELECT version FROM ops.catalog").fetchall()
    wait_until(lambda: metric(client, "streamflow_api_catalog_version") == version, 2)


@pytest.fixture
def served(copy: str) -> Iterator[httpx.Client]:
    with serving() as client:
        wait_until(lambda: ready(client))
        yield client


def values_of(response: httpx.Response, way: str) -> tuple[list[str], list[Any]]:
    """The names of an answer in their order, and the user's values."""
    assert response.status_code == 200, response.text
    body = response.json()
    if way == "online":
        names = body["metadata"]["feature_names"]
        return names, [one["values"][0] for one in body["results"]]
    features = body["features"] if way == "GET" else body["results"][0]["features"]
    return list(features), list(features.values())


def after(before: datetime, text: str) -> datetime:
    found = datetime.fromisoformat(text)
    assert before - timedelta(seconds=1) <= found <= datetime.now(UTC)
    return found


@ways
@places
def test_it_is_answered_by_its_own_list_in_its_own_order(
    served: httpx.Client, way: str, by: str
) -> None:
    def asked(contract: str = PROFILE) -> httpx.Response:
        return ask(served, way, contract, by=by, service="profile_v1")

    former, began = values_of(asked(), way), datetime.now(UTC)
    present = service("net_service", "monthly_fee", "months_active")
    wait_until_heard(served)
    for _ in range(2):  # the second one by the direct route, and kept
        response = asked()
        assert values_of(response, way) == former
        assert former[0] == NAMES
        if way == "online":
            assert response.headers["contract"] == PROFILE
        else:
            metadata = response.json()["metadata"]
            assert (metadata["service"], metadata["contract"]) == ("profile_v1", PROFILE)
            assert metadata["superseded"]["by"] == present
            assert after(began, metadata["superseded"]["at"])
        deprecated = response.headers["deprecation"]
        assert after(began, datetime.fromtimestamp(int(deprecated[1:]), UTC).isoformat())
        assert "sunset" not in response.headers
    now = asked(present)
    assert values_of(now, way)[0] == ["user_id", "net_service", "monthly_fee", "months_active"]
    assert "deprecation" not in now.headers
    assert "superseded" not in now.json()["metadata"]


def test_ages_and_kept_answers_are_its_own(served: httpx.Client) -> None:
    service("net_service", "monthly_fee", alias="renamed")
    for _ in range(2):
        views = ask(served, "GET", PROFILE, by="query", service="profile_v1").json()["metadata"]
        assert list(views["views"]) == ["subs_profile_fv"]
        assert views["views"]["subs_profile_fv"]["as_of"] == "2024-01-31T00:00:00Z"
        now = served.get(f"/features/{USER}?service=profile_v1").json()
        assert list(now["metadata"]["views"]) == ["renamed"]
    statement("""UPDATE online."streamflow:user_id" SET "subs_profile_fv:monthly_fee" = 1.5""")

    def fee() -> Any:
        response = ask(served, "GET", PROFILE, by="query", service="profile_v1")
        return response.json()["features"]["monthly_fee"]

    wait_until(lambda: fee() == 1.5, 2)


def test_each_of_several_is_answered_also_of_the_default_service(served: httpx.Client) -> None:
    lists = [("months_active",), ("net_service", "months_active"), ("monthly_fee",)]
    hashes = [service(*names, name="churn_v1") for names in lists]
    known = [hashes[-1], CHURN, *hashes[:-1]]
    for contract, names in zip(hashes, lists, strict=True):
        found = ask(served, "GET", contract, by="header")
        assert list(found.json()["features"]) == ["user_id", *names]
    assert len(ask(served, "POST", CHURN, by="header").json()["results"][0]["features"]) == 15
    refused = ask(served, "GET", OTHER, by="header")
    body = assert_problem(refused, 409, "contract-mismatch", f"known of churn_v1: {known[0]}, ")
    assert (body["known"][0], sorted(body["known"])) == (known[0], sorted(known))


def test_what_was_before_and_is_again_is_the_present_one(served: httpx.Client) -> None:
    other = service("net_service")
    assert service("months_active", "monthly_fee", "paperless_billing") == PROFILE
    found = ask(served, "GET", PROFILE, by="query", service="profile_v1")
    assert "superseded" not in found.json()["metadata"]
    older = ask(served, "GET", other, by="query", service="profile_v1").json()["metadata"]
    assert older["superseded"]["by"] == PROFILE


def test_its_own_names_of_views_and_keys_are_taken(served: httpx.Client) -> None:
    with open_store("auto") as store:
        view = store.get_feature_view("subs_profile_fv")
        renamed = view.with_name("rides").with_join_key_map({"user_id": "rider"})
        store.apply(FeatureService(name="rides_v1", features=[renamed[["months_active"]]]))
    former = served.get("/services/rides_v1").json()["contract"]
    service("net_service", name="rides_v1")
    asked: dict[str, Any] = {"feature_service": "rides_v1", "full_feature_names": True}
    pinned = {"If-Contract": former}
    found = served.post(
        "/get-online-features", json={**asked, "entities": {"rider": [USER]}}, headers=pinned
    )
    assert values_of(found, "online") == (["rider", "rides__months_active"], [USER, 1])
    assert found.headers["contract"] == former
    other = served.post(
        "/get-online-features", json={**asked, "entities": {"user_id": [USER]}}, headers=pinned
    )
    assert_problem(other, 422, "invalid-request", "rider")
    alone = served.get(f"/features/{USER}?service=rides_v1", headers=pinned)
    assert_problem(alone, 422, "other-keys", "found by rider")


@ways
def test_a_column_that_is_gone_or_changed_is_told_in_words(served: httpx.Client, way: str) -> None:
    def asked(contract: str) -> httpx.Response:
        return ask(served, way, contract, by="header", service="profile_v1")

    present = service("months_active")
    assert asked(PROFILE).status_code == 200
    view_with(monthly_fee=Float64, paperless_billing=None)
    wait_until_heard(served)
    words = [
        "subs_profile_fv:monthly_fee was Float32, is Float64",
        "subs_profile_fv:paperless_billing was Bool, which feature view subs_profile_fv does not "
        "have any more",
    ]
    today = datetime.now(UTC).date()
    for _ in range(2):
        body = assert_problem(
            asked(PROFILE),
            409,
            "contract-mismatch",
            f"contract {present}, not {PROFILE}, which was superseded on {today} and cannot be "
            f"answered any more: {'; '.join(words)}.",
        )
        assert body["differences"] == words
        assert (body["expected"], body["actual"]) == (PROFILE, present)
        assert body["known"] == [present]
    assert asked(present).status_code == 200
    view_with(monthly_fee=None)
    wait_until_heard(served)
    assert_problem(asked(PROFILE), 409, "contract-mismatch", "monthly_fee was Float32, which feat")


def test_a_view_that_is_gone_is_told_in_words(served: httpx.Client) -> None:
    with open_store("auto") as store:
        view = store.get_feature_view("support_agg_90d_fv")
        rest = store.get_feature_view("subs_profile_fv")
        churn = FeatureService(name="churn_v1", features=[rest])
        store.apply([churn], objects_to_delete=[view], partial=False)
    refused = ask(served, "GET", CHURN, by="header")
    body = assert_problem(refused, 409, "contract-mismatch", "feature view support_agg_90d_fv, whi")
    assert len(body["differences"]) == 2


def test_a_source_that_is_another_is_told_in_words(served: httpx.Client) -> None:
    service("months_active")
    with open_store("auto") as store:
        view = store.get_feature_view("subs_profile_fv")
        source = store.get_data_source("subs_profile_source")
        source.field_mapping = {"months_active": "paperless_billing"}
        view.batch_source = source
        store.apply([source, view], partial=True)
    refused = ask(served, "GET", PROFILE, by="query", service="profile_v1")
    assert_problem(
        refused,
        409,
        "contract-mismatch",
        "paperless_billing was taken from subs_profile_source.paperless_billing, is taken from "
        "subs_profile_source.months_active.",
    )


def test_the_contract_of_another_service_is_named_as_that(served: httpx.Client) -> None:
    refused = ask(served, "GET", CHURN, by="query", service="profile_v1")
    detail = f"known of profile_v1: {PROFILE}; that is a contract of churn_v1."
    assert_problem(refused, 409, "contract-mismatch", detail)
    service("months_active", name="churn_v1")
    for contract in (CHURN, PROFILE):
        one = "profile_v1" if contract == CHURN else "churn_v1"
        refused = ask(served, "POST", contract, by="header", service=one)
        assert_problem(refused, 409, "contract-mismatch", "that is a contract of ")


def test_two_different_ones_at_once_are_refused(served: httpx.Client) -> None:
    present = service("months_active")
    path = f"/features/{USER}?service=profile_v1&contract={PROFILE}"
    assert served.get(path, headers={"If-Contract": PROFILE}).status_code == 200
    for other in (present, OTHER):
        refused = served.get(path, headers={"If-Contract": other})
        assert_problem(refused, 409, "contract-mismatch")


@ways
def test_single_features_have_no_older_contract(served: httpx.Client, way: str) -> None:
    service("months_active")
    features = [f"subs_profile_fv:{name}" for name in NAMES[1:]]
    assert ask(served, way, PROFILE, by="header", features=features).status_code == 200
    refused = ask(served, way, PROFILE, by="header", features=features[:2])
    assert "known" not in assert_problem(refused, 409, "contract-mismatch")


@places
@pytest.mark.parametrize(
    "contract", ["a" * 10_000, "ü" * 16, "²" * 16, "0x" + "1" * 14, "1" * 15 + " 1"]
)
def test_what_can_be_no_contract_is_refused_as_before(
    served: httpx.Client, by: str, contract: str
) -> None:
    if by == "header":
        headers = [(b"If-Contract", contract.encode())]
        response = served.get(f"/features/{USER}", headers=headers)
    else:
        response = served.get(f"/features/{USER}", params={"contract": contract})
    assert_problem(response, 422, "invalid-request", "should match pattern")


def test_who_asks_is_counted(copy: str, tmp_path: Path) -> None:
    (tmp_path / "one").write_text(line(ONE))
    with serving(keys_dir=str(tmp_path)) as client:
        client.headers.update(bearer(ONE))
        wait_until(lambda: ready(client))
        service("months_active")
        labels = f'{{caller="one",contract="{PROFILE}",service="profile_v1"}}'
        name = "streamflow_api_superseded"
        assert ask(client, "GET", PROFILE, by="header", service="profile_v1").status_code == 200
        assert ask(client, "POST", PROFILE, by="header", service="profile_v1").status_code == 200
        assert ask(client, "online", PROFILE, by="header", service="profile_v1").status_code == 200
        assert client.get(f"/features/{USER}").status_code == 200
        assert metric(client, f"{name}_requests_total{labels}") == 3


def test_the_end_of_one_is_told(served: httpx.Client) -> None:
    present = service("months_active")
    statement("UPDATE ops.contracts SET ends_at = '2100-01-01' WHERE superseded_at IS NOT NULL")
    statement("UPDATE ops.catalog SET version = version + 1")
    wait_until(lambda: metric(served, "streamflow_api_catalog_version") > 2, 2)
    wait_until(
        lambda: "sunset" in ask(served, "GET", PROFILE, by="query", service="profile_v1").headers, 2
    )
    response = ask(served, "GET", PROFILE, by="query", service="profile_v1")
    assert parsedate_to_datetime(response.headers["sunset"]) == datetime(2100, 1, 1, tzinfo=UTC)
    assert response.json()["metadata"]["superseded"]["ends"] == "2100-01-01T00:00:00Z"
    statement(f"SELECT ops.end_contract('streamflow', 'profile_v1', '{PROFILE}')")
    today = datetime.now(UTC).date()
    wait_until(lambda: ask(served, "GET", PROFILE, by="query", service="profile_v1").is_error, 2)
    body = assert_problem(
        ask(served, "GET", PROFILE, by="query", service="profile_v1"),
        409,
        "contract-mismatch",
        f"{PROFILE}, which was superseded on {today} and ended on {today}.",
    )
    assert body["known"] == [present]


@pytest.mark.slow
def test_who_pins_is_never_refused_while_definitions_change(copy: str) -> None:
    stop = threading.Event()

    def ask_on(client: httpx.Client, way: str) -> int:
        asked = 0
        while not stop.is_set():
            names, _ = values_of(ask(client, way, PROFILE, by="header", service="profile_v1"), way)
            assert names == NAMES
            asked += 1
        return asked

    with serving() as client, ThreadPoolExecutor() as pool:
        wait_until(lambda: ready(client))
        asking = [pool.submit(ask_on, client, way) for way in ("GET", "GET", "POST", "online")]
        try:
            for _ in range(4):
                service("net_service", "months_active")
                assert service("months_active", "monthly_fee", "paperless_billing") == PROFILE
        finally:
            stop.set()
        assert min(one.result() for one in asking) > 10


def test_a_database_of_before_is_answered_as_before(copy: str) -> None:
    service("months_active")
    statement("DROP TABLE ops.contracts")
    with serving() as client:
        wait_until(lambda: ready(client))
        assert ask(client, "GET", CHURN, by="header").status_code == 200
        refused = ask(client, "GET", PROFILE, by="query", service="profile_v1")
        assert_problem(refused, 409, "contract-mismatch")


@pytest.mark.parametrize("serve_stale", [True, False])
def test_a_kept_answer_by_an_older_one_outlives_the_database(
    databases: Any, server: dict[str, str], copy: str, serve_stale: bool
) -> None:
    present = service("months_active")

    def asked(client: httpx.Client, contract: str) -> httpx.Response:
        return ask(client, "GET", contract, by="query", service="profile_v1")

    with serving(serve_stale=serve_stale, retry_s=0.2) as client:
        wait_until(lambda: ready(client))
        kept = asked(client, PROFILE).json()["features"]

        def is_kept() -> bool:  # from when notifications are heard
            asked(client, PROFILE)
            return metric(client, "streamflow_api_cache_hits_total") > 0

        wait_until(is_kept)
        with databases.admin(server) as admin:
            admin.execute(f'ALTER DATABASE "{copy}" ALLOW_CONNECTIONS false')
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [copy]
            )
        wait_until(lambda: not ready(client))
        if serve_stale:
            body = asked(client, PROFILE).json()
            assert (body["features"], body["metadata"]["source"]) == (kept, "cache")
            assert body["metadata"]["superseded"]["by"] == present
            assert_problem(asked(client, OTHER), 409, "contract-mismatch", "known of profile_v1")
        else:
            assert_problem(asked(client, PROFILE), 503, "not-ready")


def test_an_older_one_is_answered_of_a_service_that_tables_cannot_answer_now(copy: str) -> None:
    service("months_active")

    def unservable(found: Catalog) -> Catalog:
        now = replace(found.services["profile_v1"], unservable="risk_fv: on demand", contract=OTHER)
        return replace(found, services={**found.services, "profile_v1": now})

    rewrite(unservable)
    with serving() as client:
        wait_until(lambda: ready(client))
        for way in ("GET", "POST", "online"):
            found = ask(client, way, PROFILE, by="header", service="profile_v1")
            assert values_of(found, way)[0] == NAMES
            for contract in (OTHER, CHURN):
                refused = ask(client, way, contract, by="header", service="profile_v1")
                assert_problem(refused, 422, "unservable", "risk_fv: on demand")


def test_few_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.reading.counts.MOST", 2)
    counted = RequestCounts()
    for caller in ("a", "b", "c", "d", "a"):
        counted.count(("profile_v1", PROFILE, caller))
    assert counted.counts == {
        ("profile_v1", PROFILE, "a"): 2,
        ("profile_v1", PROFILE, "b"): 1,
        ("", "", ""): 2,
    }
    assert set(counted.last) == set(counted.counts)
