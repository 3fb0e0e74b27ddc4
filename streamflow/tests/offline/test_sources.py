"""Sources and entity queries that do not fit when a request runs: named as what they are."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from streamflow.errors import (
    ConfigurationError,
    QueryRefused,
    SchemaMissing,
    SourceMismatch,
    StreamflowError,
)
from streamflow.tests.offline.projects import (
    T0,
    asked,
    execute,
    query_of,
    row,
    store_of,
    table,
    values,
    view_of,
)

pytestmark = pytest.mark.usefixtures("feast_database")
FRAME = asked(("a", T0))
QUERY = query_of(FRAME)
HAS = "it has user_id, item_id, at, created, clicks, score, note"
BROKEN = {
    "a table": (
        "DROP TABLE source.v",
        'feature view v: data source v_source cannot be read: relation "source.v" does not exist',
    ),
    "a table renamed": (
        "ALTER TABLE source.v RENAME TO vv",
        'feature view v: data source v_source cannot be read: relation "source.v" does not exist'
        " (did you mean source.vv?)",
    ),
    "a schema": (
        "ALTER SCHEMA source RENAME TO elsewhere",
        'feature view v: data source v_source cannot be read: relation "source.v" does not exist'
        " (did you mean elsewhere.v?)",
    ),
    "a feature": (
        "ALTER TABLE source.v DROP COLUMN clicks",
        "feature view v: data source v_source has no column clicks; it has user_id, item_id, at,"
        " created, score, note",
    ),
    "a key": (
        "ALTER TABLE source.v RENAME user_id TO userid",
        "feature view v: data source v_source has no column user_id (did you mean userid?); it"
        " has userid, item_id, at, created, clicks, score, note",
    ),
    "a time": (
        "ALTER TABLE source.v RENAME at TO moment",
        "feature view v: data source v_source has no column at; it has user_id, item_id, moment,"
        " created, clicks, score, note",
    ),
    "a time's type": (
        "ALTER TABLE source.v ALTER at TYPE text",
        "feature view v: timestamp_field at of data source v_source is text and no time"
        " (date or timestamp without time zone or timestamp with time zone)",
    ),
}


@pytest.mark.parametrize("mode", ["temp_table", "embed_query"])
@pytest.mark.parametrize("entities", [FRAME, QUERY], ids=["frame", "query"])
@pytest.mark.parametrize(("broken", "said"), BROKEN.values(), ids=BROKEN)
def test_a_source_that_broke_is_named_with_view_and_column(
    tmp_path: Path, broken: str, said: str, entities: Any, mode: str
) -> None:
    table("v", [row("a", T0, 1)])
    table("w", [row("a", T0, 1)])
    store = store_of(tmp_path, view_of("v"), view_of("w"), entity_select_mode=mode)
    execute(broken)
    job = store.get_historical_features(entities, ["w:note", "v:clicks"])
    with pytest.raises(SourceMismatch) as refused:
        job.to_arrow()
    assert said in str(refused.value)
    if "SCHEMA" not in broken:
        assert refused.value.faults == (said,)
        with pytest.raises(SourceMismatch, match=r"^feature view v: "):
            job.to_sql()


def test_all_views_that_broke_are_named_at_once(tmp_path: Path) -> None:
    table("v", columns="user_id text, at timestamptz, created timestamptz, clicks bigint")
    store = store_of(tmp_path, view_of("v"), view_of("w"))
    with pytest.raises(SourceMismatch) as refused:
        store.get_historical_features(FRAME, ["v:score", "w:note"]).to_df()
    assert [one.split(":")[0] for one in refused.value.faults] == [
        "feature view v",
        "feature view w",
    ]


def test_rows_of_a_window_need_the_source_as_well(tmp_path: Path) -> None:
    store = store_of(tmp_path, view_of("v"))
    job = store.get_historical_features(features=["v:clicks"], start_date=T0, end_date=T0)
    with pytest.raises(SourceMismatch, match=r'^feature view v: .*"source\.v" does not exist'):
        job.to_arrow()


@pytest.mark.parametrize("which", ["pull_latest", "pull_all"])
def test_what_is_pulled_names_the_source(tmp_path: Path, which: str) -> None:
    table("v", [row("a", T0, 1)])
    store = store_of(tmp_path, view_of("v"))
    pull = getattr(store._get_provider().offline_store, f"{which}_from_table_or_query")
    source = store.get_feature_view("v").batch_source
    asked_for = {
        "config": store.config,
        "data_source": source,
        "join_key_columns": ["user_id"],
        "feature_name_columns": ["clicks", "nothing"],
        "timestamp_field": "at",
        "created_timestamp_column": "created",
        "start_date": T0,
        "end_date": T0,
    }
    with pytest.raises(SourceMismatch) as refused:
        pull(**asked_for).to_arrow()
    assert str(refused.value) == f"data source v_source has no column nothing; {HAS}"
    execute("DROP TABLE source.v")
    with pytest.raises(SourceMismatch, match="data source v_source cannot be read"):
        pull(**{**asked_for, "feature_name_columns": []}).to_arrow()


@pytest.mark.parametrize("mode", ["temp_table", "embed_query"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "SELECT user_id, now() AS event_timestamp FROM source.labels",
            'the entity query cannot be read: relation "source.labels" does not exist',
        ),
        (
            "SELECT user_id, now() AS event_timestamp FROM source.vv",
            'the entity query cannot be read: relation "source.vv" does not exist'
            " (did you mean source.v?)",
        ),
        (
            "SELECT v.userid, now() AS event_timestamp FROM source.v",
            "the entity query cannot be read: column v.userid does not exist (Perhaps you meant to"
            ' reference the column "v.user_id")',
        ),
        ("SELECT FROM WHERE", 'the entity query cannot be read: syntax error at or near "WHERE"'),
        (
            "WITH x AS (DELETE FROM source.v RETURNING *)"
            " SELECT user_id, now() AS event_timestamp FROM x",
            "the entity query cannot be read: WITH clause containing a data-modifying statement"
            " must be at the top level",
        ),
        (
            "WITH x AS (SELECT 1) DELETE FROM source.v RETURNING user_id, now() AS event_timestamp",
            'the entity query cannot be read: syntax error at or near "DELETE"',
        ),
    ],
)
def test_an_entity_query_that_postgresql_refuses_is_said_to_be_it(
    tmp_path: Path, query: str, said: str, mode: str
) -> None:
    table("v", [row("a", T0, 1)])
    store = store_of(tmp_path, view_of("v"), entity_select_mode=mode)
    job = store.get_historical_features(query, ["v:clicks"])
    for ask in (job.to_arrow, job.to_sql, lambda: job.metadata.keys):
        with pytest.raises(QueryRefused) as refused:
            ask()
        assert str(refused.value).startswith(said)
    assert values(store.get_historical_features(FRAME, ["v:clicks"]), "clicks") == [1]


def test_what_fails_while_it_runs_names_the_views(tmp_path: Path) -> None:
    table("v", [row("a", T0, 0)])
    source = "(SELECT user_id, at, created, 1 / clicks AS clicks FROM source.v)"
    store = store_of(tmp_path, view_of("v", table=source))
    job = store.get_historical_features(FRAME, ["v:clicks"])
    with pytest.raises(StreamflowError, match=r"^feature view v: division by zero$") as failed:
        job.to_arrow()
    assert not isinstance(failed.value, SchemaMissing)
    pulled = store._get_provider().offline_store.pull_all_from_table_or_query(
        config=store.config,
        data_source=store.get_feature_view("v").batch_source,
        join_key_columns=["user_id"],
        feature_name_columns=["clicks"],
        timestamp_field="at",
    )
    with pytest.raises(StreamflowError, match=r"^data source v_source: division by zero$"):
        pulled.to_arrow()


def test_a_table_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, view_of("v"))
    with pytest.raises(ConfigurationError, match=r'"source\.v" does not exist') as refused:
        store._get_provider().offline_store.offline_write_batch(
            store.config,
            store.get_feature_view("v"),
            pa.table({"user_id": ["a"]}),
            None,
        )
    assert not isinstance(refused.value, SchemaMissing)


ROWS = "SELECT 'a' AS user_id, timestamptz '2024-02-01' AS event_timestamp"
WRITTEN = {
    "a semicolon": f"{ROWS};",
    "semicolons, blanks and a comment": f"{ROWS} ; ;\n-- all of them",
    "a comment at the end": f"{ROWS} -- all; of them",
    "comments before": f"\n  -- users;\n/* of /* all */; */ {ROWS}",
    "a CTE": f"WITH u AS ({ROWS}) SELECT * FROM u;",
    "a CTE that is written once": f"WITH u AS MATERIALIZED ({ROWS}), v AS (TABLE u) TABLE v",
    "parentheses": f"(({ROWS}))",
    "a union": f"{ROWS} UNION {ROWS};",
    "texts": f"{ROWS}, ';' AS a, $$;'$$ AS b, E'\\';' AS c, '%s' AS d WHERE 'a' LIKE '%'",
    "another order of clauses": f"SELECT * FROM ({ROWS}) AS q ORDER BY user_id LIMIT 1",
    "values": "SELECT * FROM (VALUES ('a', now())) AS q (user_id, event_timestamp)",
    "TABLE": "TABLE source.asked",
    "a table": "source.asked",
    "a table without its schema": '"asked";',
}


@pytest.mark.parametrize("query", WRITTEN.values(), ids=WRITTEN)
def test_an_entity_query_may_be_written_as_people_do(tmp_path: Path, query: str) -> None:
    table("v", [row("a", T0, 1)])
    execute(f"CREATE TABLE source.asked AS {ROWS}")
    for mode in ("temp_table", "embed_query"):
        store = store_of(tmp_path, view_of("v"), entity_select_mode=mode)
        job = store.get_historical_features(query, ["v:clicks"])
        assert values(job, "user_id", "clicks") == [("a", 1)]
        assert job.metadata is not None
        assert "user_id" in job.metadata.keys
        if mode == "embed_query":
            execute("SET search_path = source", f"CREATE TEMPORARY TABLE t AS {job.to_sql()}")


def test_what_is_no_entity_query_is_refused_at_once(tmp_path: Path) -> None:
    store = store_of(tmp_path, view_of("v"))
    table("v", [row("a", T0, 1)])
    for query in (f"{ROWS}; DROP TABLE source.v", "DELETE FROM source.v RETURNING *", "-- none"):
        with pytest.raises(QueryRefused, match=r"^the entity query "):
            store.get_historical_features(query, ["v:clicks"])
