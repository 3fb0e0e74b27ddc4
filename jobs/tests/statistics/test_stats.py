"""`streamflow stats`: tables, JSON, a page, and the errors of asking for what is not there."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Array, Float64, Int64, String

from jobs.roles.set_up import Names
from jobs.tests.acting import acting, db_roles, done, execute, refused, streamflow
from jobs.tests.conftest import Place
from jobs.tests.statistics.conftest import FEBRUARY, JANUARY, load
from streamflow.feast.registry.open import open_store

HOSTILE = "<script>alert(1)</script> [bold red]& \x1b[31m\"'"


@pytest.fixture(scope="module")
def two_months(place: Place, template: str, small_months: Path) -> Iterator[str]:
    with place(template) as name:
        load(small_months / "month_000", JANUARY)
        load(small_months / "month_001", FEBRUARY)
        yield name


@pytest.fixture
def both(place: Place, two_months: str) -> Iterator[str]:
    """A database with two months."""
    with place(two_months) as name:
        yield name


def as_json(*arguments: str) -> dict[str, Any]:
    return json.loads(done(streamflow("stats", "--json", *arguments)).stdout)


def test_every_view_is_shown_against_the_month_before(both):
    said = done(streamflow("stats")).stdout
    heading = "subs_profile_fv  2024-02-29  50 rows, against 2024-01-31 with 50; 0 new entities"
    assert heading in said
    for name in ("monthly_fee", "watch_hours_30d", "support_tickets_90d", "churn_label"):
        assert re.search(rf"^ +{name} ", said, re.MULTILINE)
    assert "▁" in said
    assert "█" in said


def test_one_view_one_month_and_another_to_compare_with(both):
    (view,) = as_json("--view", "usage_agg_30d_fv", "--as-of", JANUARY, "--against", FEBRUARY)[
        "views"
    ]
    assert (view["view"], view["as_of"][:10], view["against"][:10]) == (
        "usage_agg_30d_fv",
        JANUARY,
        FEBRUARY,
    )
    assert view["new_entities"] is None
    names = [one["feature"] for one in view["features"]]
    assert names[0] == "watch_hours_30d"
    assert "months_active" not in names
    (first,) = as_json("--view", "labels", "--as-of", JANUARY)["views"]
    assert first["against"] is None
    assert [one["feature"] for one in first["features"]] == ["churn_label"]


def test_stored_statistics_are_those_that_are_counted_anew(both):
    stored = as_json()
    execute("DELETE FROM ops.statistics_months")
    counted = as_json()
    for view in (*stored["views"], *counted["views"]):
        del view["new_entities"], view["vanished_entities"]
    assert counted == stored


def test_statistics_outlive_the_rows_of_their_month(both):
    before = as_json("--view", "labels")
    execute("DELETE FROM source.labels_snapshots WHERE as_of = %s", JANUARY)
    assert as_json("--view", "labels") == before


def test_a_training_set_is_compared_by_its_own_features_and_month(both, tmp_path):
    out = str(tmp_path / "january.parquet")
    done(streamflow("training-set", "--as-of", JANUARY, "--service", "profile_v1", "--out", out))
    for name in (out, f"{out}.manifest.json"):
        (view,) = as_json("--against", name)["views"]
        assert (view["as_of"][:10], view["against"][:10]) == (FEBRUARY, JANUARY)
        assert [one["feature"] for one in view["features"]] == [
            *("months_active", "monthly_fee", "paperless_billing")
        ]


def test_what_is_not_there_is_refused_in_words(both, tmp_path):
    assert "unknown feature view 'x'; known: labels, pay" in refused(
        streamflow("stats", "--view", "x")
    )
    said = refused(streamflow("stats", "--as-of", "2024-03-31"))
    assert "has no month 2024-03-31; there are: 2024-01-31, 2024-02-29" in said
    assert "not a day" in refused(streamflow("stats", "--as-of", "march"))
    said = refused(streamflow("stats", "--against", str(tmp_path / "none.parquet")))
    assert "neither a day like 2024-01-31 nor a training set with a manifest" in said
    wrong = tmp_path / "wrong.json"
    for text in ("[]", "{", '{"features": [1]}', '{"features": [], "as_of": "x"}', "\xff"):
        wrong.write_text(text, encoding="latin-1")
        said = refused(streamflow("stats", "--against", str(wrong)))
        assert "not the manifest of a training set" in said


def test_an_empty_database_has_nothing_to_show(database):
    assert done(streamflow("stats")).stdout == ""
    said = refused(streamflow("stats", "--view", "labels"))
    assert "labels has no rows yet" in said


class Page(HTMLParser):
    """Collects the tags of a page, and everything that names an address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [name for name, _ in attrs if name in ("src", "href", "srcset", "action")]


def test_the_page_needs_nothing_else_and_shows_values_as_text(both, tmp_path):
    text = HOSTILE.replace("\x1b", "")
    execute("UPDATE source.subscriptions_profile_snapshots SET net_service = %s", text)
    execute("DELETE FROM ops.statistics_months")
    path = tmp_path / "report.html"
    said = done(streamflow("stats", "--html", str(path))).stdout
    assert "<script>alert(1)</script> [bold red]& [31m" in said
    page = path.read_text()
    found = Page(page)
    assert found.tags.count("article") == 17
    assert "script" not in found.tags
    assert found.addresses == []
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "monthly_fee" in page


def test_a_page_that_cannot_be_written_is_an_error(both, tmp_path):
    ended = streamflow("stats", "--html", str(tmp_path / "none" / "report.html"))
    assert ended.exit_code == 1
    assert "cannot be written: No such file or directory" in ended.stderr


def test_what_would_control_a_terminal_is_visible_text(both):
    execute("UPDATE source.subscriptions_profile_snapshots SET net_service = %s", HOSTILE)
    execute("DELETE FROM ops.statistics_months")
    said = done(streamflow("stats", "--view", "subs_profile_fv")).stdout
    assert "\x1b" not in said
    assert "[bold red]&" in said


@pytest.fixture
def prices(database: str) -> None:
    """A view over a table that no ingest writes, with two keys and a mapped column."""
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
    source = PostgreSQLSource(
        name="prices",
        query="SELECT * FROM app.prices",
        timestamp_field="ts",
        field_mapping={"amount": "price"},
    )
    view = FeatureView(
        name="prices",
        entities=[shop, item],
        schema=[
            Field(name="price", dtype=Float64, tags={"drift_psi": "0.01"}),
            Field(name="kind", dtype=String),
            Field(name="seen", dtype=Array(Int64)),
        ],
        source=source,
    )
    execute("CREATE SCHEMA app")
    execute(
        "CREATE TABLE app.prices (shop_id text, item_id bigint, ts timestamptz, amount numeric,"
        " kind text, seen bigint[])"
    )
    insert = """
        INSERT INTO app.prices
        SELECT 's' || n %% 4, n / 4, %s, n * %s, 'k' || n %% 3, NULL
        FROM generate_series(1, %s) AS n"""
    execute(insert, "2024-01-10", 1, 2_000)
    execute(insert, "2024-02-10", 3, 1_000)
    with open_store("auto") as store:
        store.apply([shop, item, source, view], partial=True)


def test_a_view_over_any_table_has_statistics_of_its_newest_rows(prices):
    (first,) = as_json("--view", "prices", "--as-of", "2024-01-15")["views"]
    assert (first["rows"], first["against"]) == (2_000, None)
    price, kind, seen = first["features"]
    assert (price["min"], price["max"], price["mean"]) == (1, 2_000, 1000.5)
    assert list(kind["categories"]) == ["k1", "k2", "k0"]
    assert (seen["kind"], seen["nulls"]) == ("other", 2_000)
    (newest,) = as_json("--view", "prices", "--against", "2024-01-15")["views"]
    assert newest["as_of"] == "2024-02-10T00:00:00Z"
    assert newest["rows"] == 2_000  # half of the keys have a newer row
    assert newest["features"][0]["max"] == 3_000
    assert {(one["feature"], one["measure"]) for one in newest["drift"]} >= {("price", "psi")}
    said = refused(streamflow("stats", "--view", "prices", "--as-of", "2023-01-01"))
    assert "prices has no row at or before 2023-01-01" in said


def test_a_view_without_keys_has_one_row(database):
    source = PostgreSQLSource(name="weather", table="app.weather", timestamp_field="ts")
    schema = [Field(name="degrees", dtype=Float64)]
    view = FeatureView(name="weather", entities=[], schema=schema, source=source)
    execute("CREATE SCHEMA app")
    execute(
        "CREATE TABLE app.weather AS"
        " SELECT now() - n * interval '1 hour' AS ts, n::float8 AS degrees"
        " FROM generate_series(1, 5) AS n"
    )
    with open_store("auto") as store:
        store.apply([source, view], partial=True)
    (found,) = as_json("--view", "weather")["views"]
    assert (found["rows"], found["features"][0]["mean"]) == (1, 1.0)


def test_the_trainer_may_read_statistics_and_the_reader_may_not(names: Names, both):
    done(db_roles(names))
    with acting(names.trainer):
        done(streamflow("stats", "--view", "labels"))
    with acting(names.reader):
        ended = streamflow("stats", "--view", "labels")
    assert ended.exit_code == 2
    assert "permission denied" in ended.stderr


BEFORE_STATISTICS = """
    DROP VIEW ops.status_of_drift;
    DROP TABLE ops.drift, ops.statistics, ops.statistics_edges, ops.statistics_months;
    DELETE FROM ops.migrations WHERE number IN (10, 12, 17)"""
BEFORE_RELATIONS = """
    ALTER TABLE ops.statistics DROP frequent, DROP auc, DROP positives, DROP negatives;
    ALTER TABLE ops.statistics_months DROP file;
    DELETE FROM ops.migrations WHERE number IN (12, 17)"""


@pytest.mark.parametrize("earlier", [BEFORE_STATISTICS, BEFORE_RELATIONS])
def test_after_an_upgrade_the_writer_ingests_before_the_roles_are_set_up_again(
    names: Names, database: str, small_months: Path, earlier: str
):
    done(db_roles(names))
    execute(earlier)
    if earlier == BEFORE_STATISTICS:
        with acting(names.trainer):
            assert "run: streamflow apply" in refused(streamflow("stats"))
    january, february = (str(small_months / f"month_00{number}") for number in (0, 1))
    with acting(names.writer):
        said = refused(streamflow("ingest", january, "--as-of", JANUARY, "--refuse-drift"))
        assert "the database lacks tables of statistics; run: streamflow apply" in said
        assert load(small_months / "month_000", JANUARY)["drift"] == []
    with acting(names.owner):
        done(streamflow("apply"))
    with acting(names.writer):
        done(streamflow("ingest", february, "--as-of", FEBRUARY, "--refuse-drift"))
    assert execute("SELECT count(DISTINCT as_of) FROM ops.statistics") == [(2,)]
    with acting(names.trainer):
        done(streamflow("stats", "--view", "labels"))
