"""`apply` looks at every source first, and refuses definitions that one of them does not fit."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from jobs.apply.apply import apply, plan
from jobs.run import ledger
from jobs.tests.acting import copy_repository, streamflow
from streamflow.errors import SourceMismatch

PROFILE = (
    "as_of, loaded_at, months_active, monthly_fee, paperless_billing, plan_stream_tv,"
    " plan_stream_movies, net_service"
)


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The definitions in a copy of the feature repository, which a test may edit."""
    copy_repository(tmp_path)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path))
    return tmp_path / "definitions.py"


def edit(definitions: Path, before: str, after: str) -> None:
    """Replaces text in the definitions."""
    text = definitions.read_text()
    assert before in text
    definitions.write_text(text.replace(before, after))


def half_a_feature(definitions: Path) -> None:
    """Makes `contract_type` a feature of subs_profile_fv, and forgets the query."""
    field = '        Field(\n            name="net_service",'
    edit(definitions, field, f'        Field(name="contract_type", dtype=String),\n{field}')


def add(definitions: Path, text: str) -> None:
    """Adds definitions at the end."""
    definitions.write_text(f"{definitions.read_text()}\n{text}\n")


def everything() -> dict[str, Any]:
    """All columns of all tables, and all rows of those that `apply` writes."""
    with psycopg.connect() as connection:
        columns = connection.execute(
            "SELECT n.nspname, c.relname, c.oid::bigint, a.attname, a.atttypid::bigint"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('source', 'registry', 'online', 'ops')"
            " AND c.relkind = 'r' AND a.attnum > 0"
            " ORDER BY 1, 2, 4"
        ).fetchall()
        found: dict[str, Any] = {"columns": columns}
        for schema, table in sorted({row[:2] for row in columns}):
            if schema in ("registry", "ops"):
                rows = sql.SQL("SELECT t::text FROM {} AS t ORDER BY 1")
                found[f"{schema}.{table}"] = connection.execute(
                    rows.format(sql.Identifier(schema, table))
                ).fetchall()
        return found


@pytest.mark.parametrize("options", [[], ["--plan"]], ids=["apply", "plan"])
def test_half_of_a_feature_is_refused_and_nothing_changes(
    definitions: Path, database: str, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ledger.ended, "apply", raising=False)  # of this process, by a fixture
    half_a_feature(definitions)
    before = everything()
    done = streamflow("apply", *options)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "error: feature view subs_profile_fv: data source subs_profile_source has no column"
        f" contract_type; it has user_id, {PROFILE}; nothing was changed"
    )
    assert everything() == before
    if not options:
        assert json.loads(done.stdout.splitlines()[-1])["outcome"] == "failed"
        assert "features.contract_type.value_type: – → STRING" in done.stdout


@pytest.mark.parametrize("planned", [False, True])
def test_an_empty_database_stays_empty(
    definitions: Path, empty_database: str, planned: bool
) -> None:
    half_a_feature(definitions)
    with pytest.raises(SourceMismatch, match="no column contract_type"):
        plan() if planned else apply()
    assert everything() == {"columns": []}


def test_an_older_schema_is_not_migrated(definitions: Path, database: str) -> None:
    half_a_feature(definitions)
    with psycopg.connect() as connection:
        connection.execute("UPDATE ops.schema_version SET sha256 = 'older'")
        connection.execute("ALTER TABLE ops.skew RENAME TO skew_of_an_older_version")
    before = everything()
    with pytest.raises(SourceMismatch, match="no column contract_type"):
        apply()
    assert everything() == before


SETUP = """
    CREATE TABLE public.odd (user_id text, number bigint, at timestamptz, day date,
        made timestamptz, "Price" numeric, note text, tags text[], said json, id uuid);
    CREATE VIEW public.odder AS SELECT * FROM public.odd"""
TOP = """
from datetime import timedelta
from feast import BatchFeatureView, Entity, FeatureView, FileSource, KafkaSource, PushSource
from feast import StreamFeatureView
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.labeling.label_view import LabelView
from feast.types import Array, Bytes, Float64, Int32, Json, Map, UnixTimestamp, Uuid

def odd(table="odd", query=None, time="at", created="made", name="odd", **more):
    return PostgreSQLSource(name=name, table=None if query else table, query=query,
        timestamp_field=time, created_timestamp_column=created, **more)

def view(source=None, kind=FeatureView, **features):
    return kind(name="things", entities=[user], ttl=ALWAYS, source=source or odd(),
        schema=[Field(name=name, dtype=dtype) for name, dtype in features.items()])
"""
HAS = "it has user_id, number, at, day, made, Price, note, tags, said, id"
READS_TABLES = "which the offline store cannot read: name a PostgreSQLSource, or no source"
"""The end of what is said of a source outside of PostgreSQL."""
FAULTS = {
    "a file": (
        "things = view(FileSource(name='file', path='there.parquet', timestamp_field='at'),"
        " n=Int64)",
        f"feature view things: data source file is a FileSource, {READS_TABLES}",
    ),
    "pushes beside a file": (
        "things = view(PushSource(name='pushed', batch_source=FileSource(name='file',"
        " path='there.parquet', timestamp_field='at')), n=Int64)",
        f"feature view things: data source file is a FileSource, {READS_TABLES}",
    ),
    "a file that is computed on": (
        "things = BatchFeatureView(name='things', entities=[user], mode='python',"
        " udf=lambda rows: rows, udf_string='x', source=FileSource(name='file',"
        " path='there.parquet', timestamp_field='at'), schema=[Field(name='n', dtype=Int64)])",
        f"batch feature view things: data source file is a FileSource, {READS_TABLES}",
    ),
    "a missing column": (
        "things = view(nothing=Int64)",
        f"feature view things: data source odd has no column nothing; {HAS}",
    ),
    "a misspelt column": (
        "things = view(price=Float64, Note=String)",
        "feature view things: data source odd has no column price (did you mean Price?),"
        f" Note (did you mean note?); {HAS}",
    ),
    "a missing join key": (
        'things = view(odd(query="SELECT at, made, note FROM odd"), note=String)',
        "feature view things: data source odd has no column user_id; it has at, made, note",
    ),
    "a misspelt time": (
        'things = view(odd(time="att"), note=String)',
        f"feature view things: data source odd has no column att (did you mean at?); {HAS}",
    ),
    "no time": (
        'things = view(odd(time=""), note=String)',
        "feature view things: data source odd names no timestamp_field; its columns with times"
        " are at, day, made",
    ),
    "a misspelt created time": (
        'things = view(odd(created="created"), note=String)',
        f"feature view things: data source odd has no column created; {HAS}",
    ),
    "a time that is none": (
        'things = view(odd(time="note"), note=String)',
        "feature view things: timestamp_field note of data source odd is text and no time"
        " (date or timestamp without time zone or timestamp with time zone)",
    ),
    "a created time that is none": (
        'things = view(odd(created="number"), note=String)',
        "feature view things: created_timestamp_column number of data source odd is bigint and"
        " no time (date or timestamp without time zone or timestamp with time zone)",
    ),
    "a mapping of nothing": (
        'things = view(odd(field_mapping={"Prise": "price"}), price=Float64)',
        f"feature view things: data source odd has no column Prise (did you mean Price?); {HAS}",
    ),
    "a missing table": (
        'things = view(odd("public.odds"), note=String)',
        'feature view things: data source odd cannot be read: relation "public.odds" does not'
        " exist (did you mean public.odd?)",
    ),
    "a query of a missing table": (
        'things = view(odd(query="SELECT * FROM od"), note=String)',
        'feature view things: data source odd cannot be read: relation "od" does not exist'
        " (did you mean odd?)",
    ),
    "a query of a missing column": (
        'things = view(odd(query="SELECT odd.nots FROM odd"), note=String)',
        "feature view things: data source odd cannot be read: column odd.nots does not exist"
        ' (Perhaps you meant to reference the column "odd.note")',
    ),
    "a query that is none": (
        'things = view(odd(query="SELEC 1"), note=String)',
        "feature view things: the query of data source odd begins with SELEC; it has to read"
        " rows: SELECT, WITH, VALUES, TABLE, or the name of a table",
    ),
    "two queries": (
        'things = view(odd(query="SELECT 1; SELECT 2"), note=String)',
        "feature view things: the query of data source odd has more than one statement; it has"
        " to be a single query",
    ),
    "a query with a wrong value": (
        "things = view(odd(query=\"SELECT 'x'::bigint AS note, at FROM odd\"), note=String)",
        "feature view things: data source odd cannot be read: invalid input syntax for type"
        ' bigint: "x"',
    ),
    "a name twice": (
        'things = view(odd(query="SELECT *, 1 AS note FROM odd"), note=String)',
        "feature view things: data source odd has several columns named note",
    ),
    "a text for a number": (
        "things = view(note=Int64)",
        "feature view things: column note of data source odd is text and note is Int64, which it"
        " cannot become; cast it in the source's query or declare another type (docs/types.md)",
    ),
    "a flag for a number": (
        'things = view(odd(query="SELECT *, true AS flag FROM odd"), flag=Int64)',
        "feature view things: column flag of data source odd is boolean and flag is Int64, which"
        " it cannot become; cast it in the source's query or declare another type (docs/types.md)",
    ),
    "a time for a number": (
        'things = view(odd(field_mapping={"day": "since"}), since=Float32)',
        "feature view things: column day of data source odd is date and since is Float32, which"
        " it cannot become; cast it in the source's query or declare another type (docs/types.md)",
    ),
    "an array for a value": (
        "things = view(tags=String)",
        "feature view things: column tags of data source odd is text[] and tags is String, which"
        " it cannot become; cast it in the source's query or declare another type (docs/types.md)",
    ),
    "a value for an array": (
        "things = view(note=Array(String))",
        "feature view things: column note of data source odd is text and note is Array(String),"
        " which it cannot become; cast it in the source's query or declare another type"
        " (docs/types.md)",
    ),
    "a key of another type": (
        "thing = Entity(name='thing', join_keys=['note'], value_type=ValueType.INT64)\n"
        "things = FeatureView(name='things', entities=[thing], source=odd(),"
        " schema=[Field(name='number', dtype=Int64)])",
        "feature view things: column note of data source odd is text and note is Int64, which it"
        " cannot become; cast it in the source's query or declare another type (docs/types.md)",
    ),
    "a pushed view": (
        'things = view(PushSource(name="pushed", batch_source=odd()), nothing=Int64)',
        f"feature view things: data source odd has no column nothing; {HAS}",
    ),
    "a stream": (
        'stream = KafkaSource(name="stream", kafka_bootstrap_servers="k", topic="t",'
        ' timestamp_field="at", message_format=JsonFormat("x bigint"), batch_source=odd())\n'
        "things = view(stream, StreamFeatureView, nothing=Int64)",
        f"stream feature view things: data source odd has no column nothing; {HAS}",
    ),
    "aggregations of a stream": (
        'stream = PushSource(name="pushed", batch_source=odd())\n'
        "things = StreamFeatureView(name='things', entities=[user], source=stream,"
        " timestamp_field='at', aggregations=[Aggregation(column='nothing', function='sum',"
        " time_window=timedelta(days=1))], schema=[Field(name='sum_nothing_1d', dtype=Int64)])",
        f"stream feature view things: data source odd has no column nothing; {HAS}",
    ),
    "a batch view": (
        "things = view(kind=BatchFeatureView, nothing=Int64)",
        f"batch feature view things: data source odd has no column nothing; {HAS}",
    ),
    "a batch view with a function": (
        "things = BatchFeatureView(name='things', entities=[user], mode='python',"
        " udf=lambda rows: rows, udf_string='x', source=odd(time='att'),"
        " schema=[Field(name='computed', dtype=Int64)])",
        f"batch feature view things: data source odd has no column att (did you mean at?); {HAS}",
    ),
    "labels": (
        'things = view(PushSource(name="pushed", batch_source=odd()), LabelView, nothing=Int64)',
        f"label view things: data source odd has no column nothing; {HAS}",
    ),
    "a source that no view reads": (
        'alone = odd(time="att")',
        f"data source odd has no column att (did you mean at?); {HAS}",
    ),
}


@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
@pytest.mark.filterwarnings("ignore:(Stream|Batch) feature views are:RuntimeWarning")
def test_a_fault_is_named_with_view_column_and_what_there_is(
    definitions: Path, database: str, text: str, said: str
) -> None:
    with psycopg.connect() as connection:
        connection.execute(SETUP)
    add(definitions, TOP + text)
    before = everything()
    with pytest.raises(SourceMismatch) as refused:
        apply()
    assert str(refused.value) == f"{said}; nothing was changed"
    assert everything() == before


def test_all_faults_are_named_at_once(definitions: Path, database: str) -> None:
    half_a_feature(definitions)
    edit(definitions, "FROM source.payments_agg_90d_snapshots", "FROM source.payments")
    edit(definitions, 'name="skips_7d",\n            dtype=Int64', 'name="skips_7d", dtype=Bytes')
    edit(definitions, "import Bool, ", "import Bool, Bytes, ")
    done = streamflow("apply", "--plan")
    assert done.exit_code == 2
    said = done.stderr.splitlines()
    assert said[-4] == "error: 3 faults between definitions and sources; nothing was changed"
    assert [line.split(":")[0] for line in said[-3:]] == [
        "  feature view payments_agg_90d_fv",
        "  feature view subs_profile_fv",
        "  feature view usage_agg_30d_fv",
    ]


FITTING = {
    "types that Feast converts": (
        "things = view(number=Float32, Price=Int64, day=String, at=UnixTimestamp, id=Uuid,"
        " said=Map, note=Json, tags=Array(String))"
    ),
    "an array that is fetched as text": (
        'things = view(odd(query="SELECT *, ARRAY[id] AS ids FROM odd"), ids=Array(String))'
    ),
    "columns that are inferred": "things = view()",
    "a mapped time and key": (
        "things = view(odd(query=\"SELECT note AS u, at AS w, 1 AS n FROM odd\", time='when',"
        " created='', field_mapping={'u': 'user_id', 'w': 'when', 'n': 'price'}), price=Int64)"
    ),
    "a query with a semicolon and a comment": (
        'things = view(odd(query="SELECT * FROM odd; -- all"), note=String)'
    ),
    "a view without entities": (
        "things = FeatureView(name='things', source=odd(), schema=[Field(name='note',"
        " dtype=String)])"
    ),
    "a function that computes": (
        "things = BatchFeatureView(name='things', entities=[user], mode='python',"
        " udf=lambda rows: rows, udf_string='x', source=odd(),"
        " schema=[Field(name='computed', dtype=Int64)])"
    ),
    "no source": "things = FeatureView(name='things', entities=[user],"
    " schema=[Field(name='n', dtype=Int64)])",
}


@pytest.mark.parametrize("text", FITTING.values(), ids=FITTING)
@pytest.mark.filterwarnings("ignore:(Stream|Batch) feature views are:RuntimeWarning")
def test_what_fits_is_planned(definitions: Path, database: str, text: str) -> None:
    with psycopg.connect() as connection:
        connection.execute(SETUP)
    add(definitions, TOP + text)
    assert "+ feature view things" in str(plan())


def test_a_table_that_hides_another_one_is_named_with_it(definitions: Path, database: str) -> None:
    with psycopg.connect() as connection:
        connection.execute("CREATE TABLE public.users (user_id text, at timestamptz, note text)")
    add(definitions, f'{TOP}\nthings = view(odd("users", created=""), note=String)')
    with pytest.raises(SourceMismatch) as refused:
        plan()
    assert refused.value.faults[-1] == (
        "feature view things: data source odd is table source.users, which is found before"
        " public.users; name the one that is meant with its schema"
    )
    text = definitions.read_text()
    definitions.write_text(text.replace('odd("users"', 'odd("public.users"'))
    assert "+ feature view things" in str(plan())
