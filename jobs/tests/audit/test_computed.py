"""The audit of computed features: of stored ones, of several views, and of values of requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.tests.conftest import ready, wait_until
from api.tests.conftest import serving as serving_here
from jobs.apply.apply import apply
from jobs.commands.init import write
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.acting import execute
from jobs.tests.audit.test_any_repository import audit

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, RequestSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp
from streamflow.feast import sql_feature_view

def view(name, key, kind, features, **more):
    entity = Entity(name=key, join_keys=[f"{key}_id"], value_type=kind)
    return entity, FeatureView(name=name, entities=[entity], ttl=timedelta(days=3),
        schema=[Field(name=one, dtype=dtype) for one, dtype in features.items()],
        source=PostgreSQLSource(name=f"{name}_source", table=f"source.{name}",
            timestamp_field="at", created_timestamp_column="made"), **more)

user, spent = view("spent", "user", ValueType.STRING, {
    "amount": Float32, "orders": Int64, "since": UnixTimestamp})
item, prices = view("prices", "item", ValueType.INT64, {"price": Float64},
    tags={"ttl_policy": "null"})
quote = RequestSource(name="quote", schema=[Field(name=name, dtype=dtype) for name, dtype in {
    "n": Int32, "m": Int64, "f": Float32, "d": Float64, "yes": Bool, "word": String,
    "at": UnixTimestamp}.items()])

def computed(name, sources, features):
    return sql_feature_view(name=name, sources=sources,
        schema=[Field(name=one, dtype=dtype) for one, (dtype, _) in features.items()],
        expressions={one: text for one, (_, text) in features.items()})

per = computed("per", [spent], {
    "each": (Float64, "amount / NULLIF(orders, 0)"),
    "half": (Float32, "CAST(amount / 3 AS real)"),
    "member": (UnixTimestamp, "CASE WHEN orders > 1 THEN since END")})
ratio = computed("ratio", [spent, prices], {"ratio": (Float64, "amount / price")})
asked = computed("asked", [spent, quote], {
    "sum": (Float64, "amount + n + m + f + d"), "said": (String, "CASE WHEN yes THEN word END"),
    "later": (UnixTimestamp, "CASE WHEN orders > 0 THEN quote_at END".replace("quote_at", "at"))})
beside = FeatureService(name="beside", features=[spent, per])
alone = FeatureService(name="alone", features=[per.with_name("p")[["half"]]])
both = FeatureService(name="both", features=[ratio, spent[["orders"]]])
quoted = FeatureService(name="quoted", features=[asked, spent[["orders"]]])
"""
TABLES = """
CREATE TABLE source.spent (user_id text, at timestamptz, made timestamptz, amount real,
    orders bigint, since timestamptz);
CREATE TABLE source.prices (item_id bigint, at timestamptz, made timestamptz, price float8);
INSERT INTO source.spent SELECT 'u' || n, date_trunc('hour', now()) - n * interval '1 hour',
    now(), n / 7.0, n % 3, timestamptz '2020-01-01 00:00:07Z' + n * interval '1 day'
FROM generate_series(1, 9) AS n;
INSERT INTO source.prices SELECT n, date_trunc('hour', now()) - n * interval '5 hours', now(),
    n / 11.0 FROM generate_series(0, 4) AS n"""
ONLINE = 'online."shop:user_id"'
COUNTS = {"beside": 9 * 6, "alone": 9, "both": 9 * 2, "quoted": 9 * 4}
"""By service: the values that are compared, of nine users and five items."""


@pytest.fixture
def shop(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with computed features, its newest values online."""
    repo = tmp_path / "shop"
    write(repo)
    (repo / "definitions.py").write_text(DEFINITIONS)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
    execute("CREATE SCHEMA source")
    execute(TABLES)
    apply()
    load()


def load(force: bool = False) -> None:
    """Puts the newest values online."""
    with recorded("materialize") as run:
        materialize(run, force=force)


@contextmanager
def asked_of(by_api: bool) -> Iterator[list[str]]:
    """The options by which an audit asks the API, or Feast's SDK."""
    if not by_api:
        yield []
        return
    with serving_here(service="beside") as client:
        wait_until(lambda: ready(client))
        yield ["--url", str(client.base_url)]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_computed_features_are_compared_as_others_are(by_api: bool) -> None:
    with asked_of(by_api) as options:
        for service, count in COUNTS.items():
            code, line, said = audit("--service", service, *options)
            assert (code, line["message"]) == (0, f"{count} values compared, no difference"), said
    found = execute("SELECT DISTINCT view, feature FROM ops.skew WHERE compared > 0 ORDER BY 1, 2")
    assert ("asked", "later") in found
    assert {("per", "each"), ("p", "half"), ("ratio", "ratio")} <= set(found)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_difference_of_an_input_is_one_of_what_is_computed_of_it(by_api: bool) -> None:
    with asked_of(by_api) as options:
        execute(f"UPDATE {ONLINE} SET \"spent:amount\" = 70 WHERE user_id = 'u4'")
        code, line, said = audit("--service", "alone", *options)
        assert (code, line["skew"]) == (1, {"p:half": 1 / 9})
        assert "user u4, half: served 23.33333396911621, trained on 0.1904" in said
        code, line, said = audit("--service", "quoted", *options)
        assert (code, line["skew"]["asked:sum"]) == (1, 1 / 9)
        execute(f"DELETE FROM {ONLINE} WHERE user_id IN ('u5', 'u6')")
        code, line, said = audit("--service", "alone", *options)
        assert (code, line["skew"]) == (1, {"p:half": 3 / 9})
        load(force=True)
        for service, count in COUNTS.items():
            code, line, said = audit("--service", service, *options)
            assert (code, line["message"]) == (0, f"{count} values compared, no difference"), said
        # Who is asked beside the item whose price is 0 has no ratio, and is another one each time.
        execute(f'UPDATE {ONLINE} SET "spent:amount" = 70')
        code, line, said = audit("--service", "both", *options)
        assert (code, line["skew"]["ratio:ratio"] > 0) == (1, True), said
        assert "item_id=" in said


REQUEST_ALONE = """
doubled = computed("doubled", [quote], {"doubled": (Float64, "d * 2")})
request_alone = FeatureService(name="request_alone", features=[spent[["orders"]], doubled])
"""


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_is_computed_of_the_request_alone_is_given_its_values(
    tmp_path: Path, by_api: bool
) -> None:
    with (tmp_path / "shop" / "definitions.py").open("a") as file:
        file.write(REQUEST_ALONE)
    apply()
    with asked_of(by_api) as options:
        code, line, said = audit("--service", "request_alone", *options)
    left_out = "doubled (computed from requests alone)"
    assert (code, line["message"]) == (
        *(0, f"9 values compared, no difference; not compared: {left_out}"),
    ), said


@pytest.mark.usefixtures("shop")
def test_an_expression_that_is_evaluated_otherwise_is_found() -> None:
    execute(
        "UPDATE ops.catalog SET version = version + 1, document = replace(document::text,"
        """ '["value", "Int32", 3]', '["value", "Int32", 4]')::jsonb"""
    )
    with asked_of(by_api=True) as options:
        code, line, said = audit("--service", "beside", *options)
    assert (code, line["skew"]["per:half"], line["skew"]["per:each"]) == (1, 1, 0), said
    assert "per:half differs in 100.0% of the users" in said


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_rows_of_later_are_pending_for_what_is_computed(by_api: bool) -> None:
    execute(
        "INSERT INTO source.spent SELECT user_id, now(), clock_timestamp(), amount + 1, orders,"
        " since FROM source.spent WHERE user_id = 'u2'"
    )
    execute("UPDATE source.prices SET price = price + 1, made = clock_timestamp()")
    with asked_of(by_api) as options:
        code, line, said = audit("--service", "alone", *options)
        assert (code, line["pending"], line["skew"]) == (0, {"p": 1}, {"p:half": 0}), said
        code, line, said = audit("--service", "both", *options)
        assert (code, line["skew"]) == (0, {"ratio:ratio": 0, "spent:orders": 0}), said
        assert line["pending"] == {"ratio": 9, "spent": 1}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_inputs_past_their_ttl_are_nulls_on_both_sides(by_api: bool) -> None:
    execute('UPDATE online."shop:item_id bigint" SET "prices@event_ts" = now() - interval \'4d\'')
    execute("UPDATE source.prices SET at = now() - interval '4d'")
    with asked_of(by_api) as options:
        code, line, said = audit("--service", "both", *options)
    assert (code, line["skew"]) == (0, {"ratio:ratio": 0, "spent:orders": 0}), said


def test_what_was_never_materialized_is_left_out(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "shop")
    (tmp_path / "shop" / "definitions.py").write_text(DEFINITIONS)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path / "shop"))
    execute("CREATE SCHEMA source")
    execute(TABLES)
    apply()
    code, line, said = audit("--service", "alone")
    assert (code, line["pending"]) == (0, {"p": 9}), said
