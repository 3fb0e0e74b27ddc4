"""The lists behind contracts are kept by every apply, whichever version applied before."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from feast import FeatureService, FeatureStore, Field, OnDemandFeatureView
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Float64, Int64

from streamflow.catalog.known_contracts import (
    KnownContract,
    KnownFeature,
    KnownView,
    Stored,
    differences,
)
from streamflow.catalog.model import Catalog
from streamflow.feast.registry import compile as compiler
from streamflow.online import catalog as rows
from streamflow.tests.online.projects import USER, applied, apply, prices, view_of

RIDES = view_of("rides", {"n": Int64, "km": Float64, "stars": Int64}, USER)


@pytest.fixture
def store(feast_database: str) -> Iterator[FeatureStore]:
    with applied(USER, prices(), RIDES) as store:
        yield store


def service(store: FeatureStore, *names: str, **options: Any) -> str:
    """Gives the service `rides_v1` these features; returns its contract."""
    apply(store, FeatureService(name="rides_v1", features=[RIDES[list(names)]], **options))
    return compiler.compiled(store).services["rides_v1"].contract


def known(project: str = "shop") -> dict[str, KnownContract]:
    """The contracts in the database by hash."""
    with psycopg.connect() as connection:
        return {one.hash: one for one in rows.known_contracts(connection, project)}


def execute(statement: str, *values: Any) -> None:
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(statement, values or None)


def test_a_list_is_kept_with_names_types_and_sources(store: FeatureStore) -> None:
    view = RIDES.with_name("trips").with_join_key_map({"user_id": "rider"})[["km", "n"]]
    apply(store, FeatureService(name="rides_v1", features=[view]))
    (one,) = known().values()
    assert (one.service, one.superseded, one.ends, one.ended) == ("rides_v1", None, None, None)
    assert one.since is not None
    assert one.features == (
        KnownFeature("trips", "km", "Float64", "rides_source.km"),
        KnownFeature("trips", "n", "Int64", "rides_source.n"),
    )
    assert one.views == (KnownView("trips", "rides", {"user_id": "rider"}),)
    assert one.contract.hash == one.hash


def test_what_was_before_and_is_again_is_the_present_one(store: FeatureStore) -> None:
    first = service(store, "n", "km")
    began = known()[first].since
    second = service(store, "n")
    found = known()
    assert found[first].since == began
    assert found[first].superseded == found[second].since
    assert found[second].superseded is None
    execute("UPDATE ops.contracts SET ended_at = now() WHERE superseded_at IS NOT NULL")
    assert service(store, "n", "km") == first
    again = known()
    assert (again[first].superseded, again[first].ended) == (None, None)
    assert again[first].since == again[second].superseded
    assert list(again) == [second, first]  # by when they were the present one


def test_a_service_that_is_gone_has_none_and_has_it_again_when_it_returns(
    store: FeatureStore,
) -> None:
    contract = service(store, "n")
    store.registry.delete_feature_service("rides_v1", "shop")
    apply(store, prices())
    assert known()[contract].superseded is not None
    with psycopg.connect() as connection:
        found = rows.served(connection)
    assert found is not None
    assert found.older == {}
    assert service(store, "n") == contract
    assert known()[contract].superseded is None


def test_an_apply_of_the_same_changes_no_row(store: FeatureStore) -> None:
    first = service(store, "n")
    service(store, "km")
    before = known()
    assert first in before
    service(store, "km", description="Other words.")
    assert known() == before
    found = compiler.compiled(store)
    with psycopg.connect() as connection:
        assert rows.is_current(connection, found)


def test_the_first_apply_after_the_upgrade_keeps_what_was_there(store: FeatureStore) -> None:
    """The catalog is that of an earlier version, which had neither sources nor a list."""
    contract = service(store, "n", "km")
    execute("DELETE FROM ops.contracts")
    execute("UPDATE ops.catalog SET document = (document::jsonb - 'sources')::json")
    with psycopg.connect() as connection:
        assert not rows.is_current(connection, compiler.compiled(store))
    other = service(store, "stars")
    found = known()
    assert set(found) == {contract, other}
    assert found[contract].features == (
        KnownFeature("rides", "n", "Int64", ""),
        KnownFeature("rides", "km", "Float64", ""),
    )
    assert found[contract].superseded == found[other].since


def test_what_an_earlier_version_applied_meanwhile_is_kept_as_well(store: FeatureStore) -> None:
    first = service(store, "n")
    before = known()
    second = service(store, "km")
    execute("DELETE FROM ops.contracts WHERE contract = %s", second)
    execute("UPDATE ops.contracts SET superseded_at = NULL")
    execute("UPDATE ops.catalog SET document = (document::jsonb - 'sources')::json")
    assert known() == before
    third = service(store, "stars")
    found = known()
    assert set(found) == {first, second, third}
    assert found[first].superseded == found[second].since
    assert found[second].superseded == found[third].since


def test_what_an_earlier_version_brought_back_is_the_present_one(store: FeatureStore) -> None:
    first = service(store, "n")
    before = known()[first]
    service(store, "km")
    forget = "UPDATE ops.catalog SET applied_at = now(), document = replace(document::text, %s, %s)"
    second = next(one for one in known() if one != first)
    names = ('"features": ["km"]', '"features": ["n"]')
    execute(f"{forget}::json", second, first)
    execute(f"{forget}::json", *names)
    with psycopg.connect() as connection:
        found = rows.served(connection)
    assert found is not None
    assert [one.hash for one in found.known if one.is_present] == [first]
    service(store, "n")
    again = known()
    assert (again[first].superseded, again[first].features) == (None, before.features)
    assert again[first].since == again[second].superseded


def test_an_unreadable_catalog_of_before_is_no_reason_to_fail(store: FeatureStore) -> None:
    first = service(store, "n")
    execute('UPDATE ops.catalog SET format = 99, document = \'{"project": "shop", "views": 1}\'')
    second = service(store, "km")
    assert known()[first].superseded == known()[second].since


def versions() -> dict[str, int]:
    """The version of each project's catalog."""
    with psycopg.connect() as connection:
        return dict(connection.execute("SELECT project, version FROM ops.catalogs").fetchall())


def test_another_project_of_the_database_has_its_own(store: FeatureStore) -> None:
    contract = service(store, "n")
    with psycopg.connect() as connection:
        rows.write(connection, replace(compiler.compiled(store), project="another"))
        rows.write(connection, Catalog(0, "shop"))
    assert known()[contract].superseded is not None
    assert known("another")[contract].superseded is None
    service(store, "n")
    assert known()[contract].superseded is None
    with psycopg.connect(autocommit=True) as connection:
        changed = replace(compiler.compiled(store), project="another")
        rows.write(connection, replace(changed, services={}, known=()))
        before = versions()
        connection.execute("SELECT ops.end_contract('another', 'rides_v1', %s)", [contract])
        assert versions() == {**before, "another": before["another"] + 1}
        assert known("another")[contract].ended is not None
        rows.write(connection, Catalog(0, "another"))
    assert known("another")[contract].superseded is not None
    assert known()[contract].superseded is None


def test_one_that_no_table_can_answer_is_kept_with_all_of_its_list(store: FeatureStore) -> None:
    doubled = OnDemandFeatureView(
        name="doubled",
        sources=[prices()],
        schema=[Field(name="twice", dtype=Int64)],
        feature_transformation=PythonTransformation(
            udf=lambda inputs: {"twice": inputs["price"]}, udf_string="twice"
        ),
        mode="python",
    )
    apply(store, doubled, FeatureService(name="both", features=[prices()[["price"]], doubled]))
    (one,) = known().values()
    assert [feature.name for feature in one.features] == ["price", "twice"]
    assert differences(one, compiler.compiled(store).stored) == (
        "doubled:twice was Int64 of feature view doubled, which is not online",
    )


def test_days_end_it_with_an_apply(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = service(store, "n")
    second = service(store, "km")
    monkeypatch.setenv("STREAMFLOW_CONTRACT_RETENTION_DAYS", "30")
    with psycopg.connect() as connection:
        assert not rows.is_current(connection, compiler.compiled(store))
    service(store, "km")
    one = known()[first]
    assert one.superseded is not None
    assert (one.ends, one.ended) == (one.superseded + timedelta(days=30), None)
    execute("UPDATE ops.contracts SET superseded_at = superseded_at - interval '30 days'")
    service(store, "km")
    assert known()[first].ended is not None
    assert known()[second].superseded is None
    ended = known()
    monkeypatch.delenv("STREAMFLOW_CONTRACT_RETENTION_DAYS")
    service(store, "km")
    assert known() == ended


def test_the_function_ends_an_older_one_and_no_other(store: FeatureStore) -> None:
    first = service(store, "n")
    second = service(store, "km")
    end = "SELECT ops.end_contract('shop', 'rides_v1', %s), (SELECT version FROM ops.catalog)"
    with psycopg.connect(autocommit=True) as connection:
        version = connection.execute("SELECT version FROM ops.catalog").fetchone()

        def ended(contract: str) -> Any:
            return connection.execute(end, [contract]).fetchone()[0]  # type: ignore[index]

        assert ended(second) is None
        assert ended("0" * 16) is None
        assert connection.execute("SELECT version FROM ops.catalog").fetchone() == version
        moment = ended(first)
        assert moment == known()[first].ended
        assert ended(first) == moment
        after = connection.execute("SELECT version FROM ops.catalog").fetchone()
        assert after is not None
        assert version is not None
        assert after[0] == version[0] + 1


STORED = {"rides": {"n": Stored("Int64", "a.n"), "km": Stored("Float64", "")}}


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        (KnownFeature("trips", "n", "Int64", "a.n"), ""),
        (KnownFeature("trips", "n", "Int64", ""), ""),
        (KnownFeature("trips", "km", "Float64", "a.km"), ""),
        (KnownFeature("trips", "n", "Int32", "a.n"), "trips:n was Int32, is Int64"),
        (
            KnownFeature("trips", "n", "Int64", "b.n"),
            "trips:n was taken from b.n, is taken from a.n",
        ),
        (
            KnownFeature("trips", "stars", "Int64", ""),
            "trips:stars was Int64, which feature view rides does not have any more",
        ),
        (
            KnownFeature("gone", "n", "Int64", ""),
            "gone:n was Int64 of feature view lost, which is not online",
        ),
    ],
)
def test_a_difference_is_a_phrase(feature: KnownFeature, said: str) -> None:
    views = (KnownView("trips", "rides", {}), KnownView("gone", "lost", {}))
    one = KnownContract("s", "0" * 16, (feature,), views)
    assert differences(one, STORED) == ((said,) if said else ())


def test_the_lists_are_json_for_people(store: FeatureStore) -> None:
    service(store, "km")
    with psycopg.connect() as connection:
        row = connection.execute("SELECT features::text, views::text FROM ops.contracts").fetchone()
    assert row is not None
    assert json.loads(row[0]) == [
        {"view": "rides", "name": "km", "type": "Float64", "source": "rides_source.km"}
    ]
    assert json.loads(row[1]) == [{"alias": "rides", "view": "rides", "join_keys": {}}]
