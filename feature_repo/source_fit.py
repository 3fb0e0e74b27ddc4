"""Which types of a source's column can be which of Feast's types.

A pair fits where the engine copies the column as it is, or where Feast converts any value of it.
"""

import pyarrow as pa

from feature_repo import engine_sql
from feature_repo.offline_arrow import Column
from feature_repo.online_layout import SCALARS, column_type

CONVERTED = {
    "boolean": {"BOOL", "INT32", "INT64", "FLOAT", "STRING"},
    "integer": {
        *("INT32", "INT64", "FLOAT", "DOUBLE"),
        *("STRING", "BOOL", "UNIX_TIMESTAMP", "DECIMAL"),
    },
    "float": {
        *("FLOAT", "DOUBLE", "INT32", "INT64"),
        *("STRING", "UNIX_TIMESTAMP", "DECIMAL", "JSON"),
    },
    "instant": {"UNIX_TIMESTAMP", "STRING"},
    "bytes": {"BYTES", "PDF_BYTES", "IMAGE_BYTES", "STRING"},
    "text": {"STRING", "UUID", "TIME_UUID", "DECIMAL", "JSON"},
    "list": set(),
}
"""Feast's scalar types by what the offline store makes of a column.

A text is no number, although Feast would read one that consists of digits: training sees text.
"""
CONVERTED_IN_LISTS = {
    "boolean": {"BOOL"},
    "integer": {"INT32", "INT64", "FLOAT", "DOUBLE", "UNIX_TIMESTAMP"},
    "float": {"FLOAT", "DOUBLE"},
    "instant": {"UNIX_TIMESTAMP"},
    "bytes": {"BYTES", "PDF_BYTES", "IMAGE_BYTES"},
    "text": {"STRING", "UUID", "TIME_UUID", "DECIMAL", "JSON"},
    "list": set(),
}
"""The same of the elements of arrays, sets included."""


def fits(column: Column, kind: str, value_type: str) -> bool:
    """Whether the values of a column can be of one of Feast's types.

    Args:
        column: as the source has it.
        kind: its type in PostgreSQL's words.
        value_type: Feast's value type by name: INT64, STRING_LIST, … Types without a typed
            column online (maps, structs, nested lists) take anything.
    """
    base = value_type.removesuffix("_LIST").removesuffix("_SET")
    if base not in SCALARS:
        return True
    if engine_sql.value(column.name, kind, column_type(value_type)) is not None:
        return True
    if base == value_type:
        return base in CONVERTED[family(column.type)]
    if kind.endswith("[]") and not pa.types.is_list(column.type):
        return True  # an array that is fetched as its text
    elements = column.type.value_type if pa.types.is_list(column.type) else None
    return elements is not None and base in CONVERTED_IN_LISTS[family(elements)]


def family(kind: pa.DataType) -> str:
    """What the offline store makes of a column: one of the keys of CONVERTED."""
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float"
    if pa.types.is_temporal(kind):
        return "instant"
    if pa.types.is_binary(kind):
        return "bytes"
    return "list" if pa.types.is_list(kind) else "text"
