"""Pages of a large project: a thousand features in a hundred views, and three years of months."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from explorer.tests.conftest import page, serving
from streamflow.catalog.model import READ, parse
from streamflow.registry.messages import CLASSES

VIEWS, FEATURES, MONTHS = 100, 10, 36
MOST_QUERIES = 30
"""Of a page, however many views there are; what they take is in docs/explorer.md."""


@pytest.fixture(scope="module")
def large(databases: Any, server: dict[str, str], filled_template: str) -> Iterator[str]:
    """A database with so many views, whose tables have statistics."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, filled_template, monkeypatch) as name,
    ):
        with psycopg.connect() as connection:
            multiply(connection)
        yield name


def multiply(connection: psycopg.Connection) -> None:
    """Adds views like subs_profile_fv to catalog and registry, and statistics like the fee's."""
    catalog = parse(*connection.execute(READ).fetchone())  # type: ignore[misc]
    pattern = catalog.views["subs_profile_fv"]
    feature = next(one for one in pattern.features if one.name == "monthly_fee")
    names = [f"f{at}" for at in range(FEATURES)]
    for number in range(VIEWS):
        view = f"many_{number:03}_fv"
        features = tuple(replace(feature, name=one, description=f"No. {one}") for one in names)
        catalog.views[view] = replace(pattern, name=view, features=features)
        register(connection, number, view, names)
    whole = catalog.services["churn_v1"]
    used = tuple(
        replace(whole.projections[0], view=one, alias=one, features=tuple(names))
        for one in catalog.views
        if one.startswith("many_")
    )
    catalog.services["everything"] = replace(whole, name="everything", projections=used)
    connection.execute("UPDATE ops.catalog SET version = 2, document = %s", [catalog.document()])
    for statement in STATISTICS:
        connection.execute(statement)


def register(connection: psycopg.Connection, number: int, view: str, names: list[str]) -> None:
    """Adds a view to Feast's registry."""
    row = connection.execute(
        "SELECT feature_view_proto FROM registry.feature_views"
        " WHERE feature_view_name = 'subs_profile_fv'"
    ).fetchone()
    assert row is not None
    entry = CLASSES["FeatureView"].FromString(row[0])
    entry.spec.name = view
    fee = next(one for one in entry.spec.features if one.name == "monthly_fee")
    kept = [CLASSES["FeatureSpecV2"].FromString(fee.SerializeToString()) for _ in names]
    for one, name in zip(kept, names, strict=True):
        one.name = name
    del entry.spec.features[:]
    entry.spec.features.extend(kept)
    options = entry.spec.batch_source.custom_options
    options.configuration = (
        f'{{"name": "s{number}", "table": "",'
        f' "query": "SELECT user_id, as_of, {", ".join(names)} FROM source.many_{number:03}"}}'
    ).encode()
    connection.execute(
        "INSERT INTO registry.feature_views"
        " (feature_view_name, project_id, last_updated_timestamp, feature_view_proto)"
        " VALUES (%s, 'streamflow', 0, %s)",
        [view, entry.SerializeToString()],
    )


STATISTICS = (
    f"""
    INSERT INTO ops.statistics_months (table_name, as_of, row_count, entities)
    SELECT 'many_' || to_char(t, 'FM000'),
           '2021-01-31'::timestamptz + m * interval '1 month', 400, 1
    FROM generate_series(0, {VIEWS} - 1) AS t, generate_series(0, {MONTHS} - 1) AS m""",
    f"""
    INSERT INTO ops.statistics
    SELECT m.table_name, m.as_of, 'f' || f, f, kind, null_count, not_finite, distinct_count,
           is_exact, minimum, maximum, mean, deviation, quantiles, edges, bins, categories,
           category_counts, other_count
    FROM ops.statistics AS s, ops.statistics_months AS m,
         generate_series(0, {FEATURES} - 1) AS f
    WHERE s.column_name = 'monthly_fee' AND s.as_of = '2024-02-29' AND m.table_name LIKE 'many%'""",
    """
    INSERT INTO ops.drift
    SELECT table_name, max(as_of), 'f1', 'psi', 1, 0.2, 'index 1, above 0.2'
    FROM ops.statistics_months WHERE table_name LIKE 'many%' GROUP BY 1""",
    "ANALYZE ops.statistics, ops.statistics_months",
)


@pytest.fixture(scope="module")
def client_of_large(large: str) -> Iterator[httpx.Client]:
    with serving() as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/features",
        "/features?q=f7",
        "/views/many_042_fv",
        "/services/everything",
        "/features/many_042_fv/f1",
        "/features/many_042_fv/f1?month=2022-01-31&against=2021-01-31",
        "/runs",
    ],
)
def test_a_page_takes_few_queries(client_of_large, path, monkeypatch):
    queries = []
    execute = psycopg.Cursor.execute

    def counted(cursor, query, *given, **named):
        queries.append(query)
        return execute(cursor, query, *given, **named)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    page(client_of_large, path)
    assert 0 < len(queries) < MOST_QUERIES


def test_all_of_them_are_there(client_of_large):
    found = page(client_of_large, "/features")
    assert f"{VIEWS * FEATURES + 14:,} features" in found.main.text
    feature = page(client_of_large, "/features/many_042_fv/f1")
    assert len(feature.one("ol").every("a")) == MONTHS
    picture = page(client_of_large, "/services/everything").one("svg", class_="lineage")
    assert "88 more views" in picture.text
    said = page(client_of_large, "/").statements()
    assert len([one for one in said if "has drifted" in one]) == 8
    assert any("93 more columns drifted" in one for one in said)
