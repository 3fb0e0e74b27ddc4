"""Which types of a source can be which of Feast's: what Feast converts is no fault."""

import psycopg
import pyarrow as pa
import pytest
from feast.utils import _columns_to_proto_values
from feast.value_type import ValueType
from psycopg import sql

from feature_repo.offline_arrow import Column
from feature_repo.offline_select import Select, fetched
from feature_repo.online_layout import SCALARS
from feature_repo.source_fit import fits
from feature_repo.sources import columns_of, type_names

VALUES = {
    "boolean": "true",
    "smallint": "7",
    "integer": "7",
    "bigint": "7",
    "real": "1.5",
    "double precision": "1.5",
    "numeric": "1.5",
    "text": "a",
    "character varying": "a",
    "uuid": "00000000-0000-0000-0000-000000000001",
    "bytea": "a",
    "date": "2024-01-31",
    "timestamp without time zone": "2024-01-31",
    "timestamp with time zone": "2024-01-31",
    "interval": "1 day",
    "time without time zone": "12:00",
    "jsonb": '{"a": 1}',
    "inet": "10.0.0.1",
}
ARRAYS = ("boolean", "smallint", "integer", "bigint", "real", "double precision", "text", "bytea")
KINDS = {
    **VALUES,
    **{f"{kind}[]": f"{{{VALUES[kind]}}}" for kind in ARRAYS},
    "timestamp with time zone[]": '{"2024-01-31"}',
    "uuid[]": f"{{{VALUES['uuid']}}}",
}
TYPED = [one for one in ValueType if one.name.removesuffix("_LIST").removesuffix("_SET") in SCALARS]
"""Feast's types that have a typed column online; the others take anything."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_feast_converts_is_no_fault(module_database: str, kind: str) -> None:
    query = sql.SQL("SELECT {}::{} AS x").format(sql.Literal(KINDS[kind]), sql.SQL(kind))
    with psycopg.connect() as connection:
        (column,) = columns_of(connection, query)
        assert type_names(connection, [column])[column.oid] == kind
        fields, batches = fetched(connection, Select(query))
        batch = pa.Table.from_batches(batches, fields).to_batches()[0]
    refused = {one.name for one in TYPED if not fits(column, kind, one.name)}
    assert {one.name for one in TYPED if converts(batch, one)} & refused <= by_accident(column)


def by_accident(column: Column) -> set[str]:
    """What Feast makes of a value and nobody means: the letters of a text, the seconds of true."""
    if column.type == pa.string():
        return {one.name for one in TYPED if one.name.endswith(("_LIST", "_SET"))}
    return {"JSON_LIST"} | ({"UNIX_TIMESTAMP"} if column.type == pa.bool_() else set())


@pytest.mark.parametrize("kind", ["text", "character varying", "uuid", "interval", "jsonb", "inet"])
def test_a_text_is_no_number_although_feast_would_read_digits(kind: str) -> None:
    column = Column("x", psycopg.adapters.types[kind].oid)
    for number in ("INT32", "INT64", "FLOAT", "DOUBLE", "BOOL", "UNIX_TIMESTAMP"):
        assert not fits(column, kind, number)
    assert fits(column, kind, "STRING")


def converts(batch: pa.RecordBatch, kind: ValueType) -> bool:
    """Whether Feast makes a value of the type of the batch's one value."""
    try:
        (value,) = _columns_to_proto_values(batch, [("x", kind)])["x"]
    except Exception:
        return False
    return value.WhichOneof("val") is not None
