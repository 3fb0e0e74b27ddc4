"""The compiled catalog says what the online tables can answer, and what they cannot."""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from feast import FeatureService, FeatureStore, Field, OnDemandFeatureView
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Array, Float32, Int64, Map

from streamflow.catalog import model as catalogs
from streamflow.catalog.model import Catalog, CatalogTooNew, Key, Projection, StoredFeature, parse
from streamflow.errors import ConfigurationError
from streamflow.feast.registry import compile as compiler
from streamflow.feast.registry.contracts import contract_of
from streamflow.online import catalog as rows
from streamflow.tests.online.projects import DRIVER, USER, applied, apply, prices, view_of

TRIPS = view_of("trips", {"n": Int64, "path": Array(Float32), "more": Map}, DRIVER, USER)


@pytest.fixture
def store(feast_database: str) -> Iterator[FeatureStore]:
    with applied(USER, DRIVER, prices(), TRIPS) as store:
        yield store


def reasons(store: FeatureStore) -> dict[str, str]:
    """Returns by service the reason why it cannot be served; empty for those that can."""
    return {name: one.unservable for name, one in compiler.compiled(store).services.items()}


def test_a_view_is_described_as_it_is_stored(store: FeatureStore) -> None:
    view = compiler.compiled(store).views["trips"]
    assert view.table == "shop:driver_id bigint,user_id"
    assert view.keys == (Key("driver_id", "driver_id", "bigint"), Key("user_id", "user_id", "text"))
    assert (view.event_column, view.created_column) == ("trips@event_ts", "trips@created_ts")
    assert view.features == (
        StoredFeature("n", "Int64", "trips:n", "bigint", ""),
        StoredFeature("path", "Array(Float32)", "trips:path", "real[]", ""),
        StoredFeature("more", "Map", "trips:more", "json", ""),
    )
    assert (view.ttl_s, view.ttl_policy, view.fresh_for_s) == (0, "serve", 0)


def test_a_service_keeps_its_aliases_and_its_order(store: FeatureStore) -> None:
    apply(
        store,
        FeatureService(
            name="mixed",
            description="of both",
            tags={"team": "a"},
            features=[
                TRIPS.with_name("ways").with_join_key_map({"driver_id": "chauffeur"})[
                    ["path", "n"]
                ],
                prices(),
            ],
        ),
    )
    found = compiler.compiled(store)
    service = found.services["mixed"]
    assert service.projections == (
        Projection("trips", "ways", {"driver_id": "chauffeur"}, ("path", "n")),
        Projection("prices", "prices", {}, ("price", "name")),
    )
    assert (service.description, service.tags, service.unservable) == ("of both", {"team": "a"}, "")
    assert service.contract == found.contracts["mixed"].hash == contract_of(store, "mixed").hash
    assert [one.reference for one in found.contracts["mixed"].features] == [
        "ways:path",
        "ways:n",
        "prices:price",
        "prices:name",
    ]


def same(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"same": inputs["price"]}


@pytest.mark.parametrize("written", [False, True])
def test_an_on_demand_view_can_be_served_when_it_is_written(
    store: FeatureStore, written: bool
) -> None:
    computed = OnDemandFeatureView(
        name="computed",
        entities=[USER],
        sources=[prices()],
        schema=[Field(name="same", dtype=Int64)],
        feature_transformation=PythonTransformation(udf=same, udf_string="same"),
        mode="python",
        write_to_online_store=written,
    )
    apply(store, computed, FeatureService(name="s", features=[computed, prices()]))
    found = compiler.compiled(store)
    assert ("computed" in found.views) == written
    if written:
        assert found.views["computed"].table == found.views["prices"].table
        assert reasons(store) == {"s": ""}
    else:
        assert reasons(store)["s"].startswith("computed: not in the online store (computed by code")


@pytest.mark.parametrize("options", [{"enabled": False}, {"online": False}])
def test_a_view_that_is_not_served_makes_its_services_unservable(
    store: FeatureStore, options: dict[str, bool]
) -> None:
    apply(
        store,
        prices(**options),
        FeatureService(name="with", features=[prices(), TRIPS]),
        FeatureService(name="without", features=[TRIPS]),
    )
    found = reasons(store)
    assert found["with"].startswith("prices: not in the online store")
    assert found["without"] == ""
    assert set(compiler.compiled(store).views) == {"trips"}


def test_a_service_of_a_removed_feature_or_view_is_unservable(store: FeatureStore) -> None:
    apply(store, FeatureService(name="s", features=[prices(), TRIPS]))
    apply(store, view_of("prices", {"price": Int64}, USER))
    assert reasons(store)["s"].startswith("prices:name: not in the online store")
    apply(store, objects_to_delete=[TRIPS], partial=False)
    assert reasons(store)["s"].startswith("prices:name, trips: not in")


def test_a_service_of_a_pinned_version_is_unservable(feast_database: str) -> None:
    with applied(USER, prices(), versioned=True) as store:
        apply(store, view_of("prices", {"price": Float32}, USER))
        apply(store, FeatureService(name="old", features=["prices@v0"]))
        apply(
            store,
            FeatureService(name="new", features=[view_of("prices", {"price": Float32}, USER)]),
        )
        assert reasons(store)["old"].startswith("prices@v0: not in the online store")
        assert reasons(store)["new"] == ""
        assert compiler.compiled(store).views["prices"].event_column == "prices@v1@event_ts"


def test_age_and_policy_come_from_the_view_before_the_store(store: FeatureStore) -> None:
    hour = timedelta(hours=1)
    views = [
        view_of("a", {"n": Int64}, USER, tags={"fresh_for_days": "1.5"}),
        view_of("b", {"n": Int64}, USER, ttl=hour, tags={"fresh_for_days": "2"}),
        view_of("c", {"n": Int64}, USER, ttl=hour, tags={"ttl_policy": "refuse"}),
    ]
    apply(store, *views)
    found = compiler.compiled(store, "null").views
    assert {name: (one.ttl_s, one.ttl_policy, one.fresh_for_s) for name, one in found.items()} == {
        "prices": (0, "null", 0),
        "trips": (0, "null", 0),
        "a": (0, "null", 129_600),
        "b": (3600, "null", 3600),
        "c": (3600, "refuse", 3600),
    }


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ("ttl_policy", "drop", "ttl_policy is 'drop'; it can be serve, null, refuse"),
        ("fresh_for_days", "month", "fresh_for_days is 'month', which is no number of days"),
        ("fresh_for_days", "nan", "fresh_for_days is 'nan', which is no number of days"),
        ("fresh_for_days", "1e99", "fresh_for_days is '1e99', which is no number of days"),
    ],
)
def test_a_wrong_tag_is_named(store: FeatureStore, tag: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"feature view prices: tag {said}"):
        apply(store, prices(tags={tag: value}))


def test_a_document_is_read_back_as_it_was(store: FeatureStore) -> None:
    apply(store, view_of("alone", {"n": Int64}), FeatureService(name="s", features=[prices()]))
    found = compiler.compiled(store)
    assert parse(0, catalogs.FORMAT, found.document(), found.known) == found
    assert parse(0, catalogs.FORMAT, json.loads(found.document()), found.known) == found
    with psycopg.connect() as connection:
        row = connection.execute(catalogs.READ).fetchone()
    assert row is not None
    stored = parse(*row)
    assert stored.document() == found.document()
    assert stored.version == 2


def test_clients_get_a_registry_of_what_is_served_and_no_more(store: FeatureStore) -> None:
    stored = OnDemandFeatureView(
        name="twice",
        sources=[prices()],
        entities=[USER],
        schema=[Field(name="double", dtype=Int64)],
        feature_transformation=PythonTransformation(
            udf=lambda rows: {"double": [2 * one for one in rows["price"]]}, udf_string="secret"
        ),
        mode="python",
        write_to_online_store=True,
    )
    kept = FeatureService(name="kept", features=[prices(), TRIPS.with_name("ways")[["n"]]])
    apply(store, stored, kept)
    found = Registry.FromString(b64decode(compiler.compiled(store).registry))
    assert [one.spec.name for one in found.feature_views] == ["prices", "trips", "twice"]
    assert [one.spec.name for one in found.entities] == ["__dummy", "driver", "user"]
    [service] = found.feature_services
    assert [one.feature_view_name_alias for one in service.spec.features] == ["", "ways"]
    assert not found.data_sources
    assert not found.on_demand_feature_views
    for word in ("secret", "PostgreSQL", "SELECT"):
        assert word not in str(found)


def test_an_apply_of_the_same_and_a_materialization_leave_the_catalog(store: FeatureStore) -> None:
    before = compiler.compiled(store).document()
    apply(store, prices(), TRIPS)
    moment = datetime(2024, 1, 31, tzinfo=UTC)
    store.registry.apply_materialization(
        store.get_feature_view("prices"), store.project, moment, moment + timedelta(days=1)
    )
    assert compiler.compiled(store).document() == before


def test_a_later_format_is_refused(store: FeatureStore) -> None:
    document = compiler.compiled(store).document()
    with pytest.raises(CatalogTooNew, match="has format 3, this version reads up to 2"):
        parse(1, catalogs.FORMAT + 1, document)


def test_the_version_counts_changes(store: FeatureStore) -> None:
    def write(found: Catalog) -> tuple[int, bool]:
        with psycopg.connect() as connection:
            before = rows.is_current(connection, found)
            rows.write(connection, found)
            assert rows.is_current(connection, found)
            row = connection.execute(catalogs.READ).fetchone()
        assert row is not None
        return row[0], before

    found = compiler.compiled(store)
    assert write(found) == (1, True)
    assert write(compiler.compiled(store, "refuse")) == (2, False)
    assert write(compiler.compiled(store, "refuse")) == (2, True)
    assert write(Catalog(0, "shop")) == (3, False)  # torn down
    assert write(Catalog(0, "another", found.views)) == (4, False)  # takes its place


def test_each_project_of_a_database_has_its_catalog(store: FeatureStore) -> None:
    shop, another = (replace(compiler.compiled(store), project=one) for one in ("shop", "another"))

    def stored() -> dict[str, tuple[int, str]]:
        with psycopg.connect() as connection:
            found = connection.execute("SELECT project, version, document::text FROM ops.catalogs")
            return {project: (version, document) for project, version, document in found}

    with psycopg.connect() as connection:
        assert not rows.is_current(connection, another)
        rows.write(connection, another)
        assert rows.is_current(connection, another)
        assert rows.is_current(connection, shop)
    assert stored() == {"shop": (1, shop.document()), "another": (1, another.document())}
    for project, found in (("shop", shop), ("another", another)):
        with psycopg.connect() as connection:
            read = connection.execute(catalogs.READ_FROM.format(catalogs.relation_of(project)))
            assert parse(*read.fetchone()).project == project
            served = rows.served(connection, project)
            assert served is not None
            assert served.document() == found.document()
            assert rows.served(connection, "neither") is None
    with psycopg.connect() as connection:
        rows.write(connection, Catalog(0, "another"))
        rows.write(connection, Catalog(0, "shop"))
        rows.write(connection, another)  # goes on where it was
    assert stored() == {
        "shop": (2, Catalog(0, "shop").document()),
        "another": (3, another.document()),
    }


def test_without_a_catalog_nothing_is_current(feast_database: str) -> None:
    with psycopg.connect() as connection:
        assert not rows.is_current(connection, Catalog(0, "shop"))
        connection.execute("DROP TABLE ops.catalog CASCADE")
        assert not rows.is_current(connection, Catalog(0, "shop"))
