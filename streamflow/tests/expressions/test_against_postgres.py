"""Expressions give what PostgreSQL gives for the same types, bit for bit, and null where it
refuses."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from streamflow.expressions.checks import ExpressionRefused
from streamflow.expressions.evaluate import compiled
from streamflow.expressions.parse import parsed
from streamflow.expressions.tree import FEATURE_TYPES
from streamflow.postgres.connect import connect
from streamflow.tests.expressions.at_random import COLUMNS, TYPES, Writer, rows_at_random, same

TRIED = """
    CREATE FUNCTION pg_temp.tried(expression text, kind text) RETURNS TABLE (n int, value text)
    LANGUAGE plpgsql AS $$
    DECLARE one record;
    BEGIN
      FOR one IN SELECT rows.n FROM rows ORDER BY rows.n LOOP
        n := one.n;
        BEGIN
          EXECUTE format('SELECT encode(%s((%s)::%s), ''hex'') FROM rows WHERE n = $1',
                         kind, expression,
                         CASE kind WHEN 'int4send' THEN 'int4' WHEN 'int8send' THEN 'int8'
                           WHEN 'float4send' THEN 'float4' WHEN 'float8send' THEN 'float8'
                           WHEN 'boolsend' THEN 'bool' ELSE 'text' END)
          INTO value USING one.n;
        EXCEPTION WHEN data_exception THEN value := NULL;
        END;
        RETURN NEXT;
      END LOOP;
    END $$"""
"""Evaluates an expression for each row, as the bytes of its value; null where that is refused."""
SENT = {
    "Int32": ("int4send", ">i"),
    "Int64": ("int8send", ">q"),
    "UnixTimestamp": ("int8send", ">q"),
    "Float32": ("float4send", ">f"),
    "Float64": ("float8send", ">d"),
    "Bool": ("boolsend", ">?"),
    "String": ("textsend", ""),
}


@pytest.fixture
def postgres(database: str) -> Iterator[Any]:
    """A connection with a table of such rows, and the function that tries expressions."""
    with connect() as connection:
        columns = ", ".join(f"{name} {kind}" for name, (_, kind) in COLUMNS.items())
        connection.execute(f"CREATE TEMPORARY TABLE rows (n int, {columns})")  # type: ignore[call-overload]
        connection.execute(TRIED)
        yield connection


def differing(postgres: Any, rows: list[dict[str, Any]], seeds: range) -> Iterator[str]:
    """Compares one expression of each seed for all rows; yields what differs."""
    postgres.execute("TRUNCATE rows")
    fields = ", ".join(f"%({name})s" for name in COLUMNS)
    with postgres.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO rows VALUES (%(n)s, {fields})",
            [{"n": n, **row} for n, row in enumerate(rows)],
        )
    for seed in seeds:
        writer = Writer(seed)
        ours, theirs = writer.of(writer.random.choice(FEATURE_TYPES), 3)
        try:
            tree = parsed(ours, TYPES)
        except ExpressionRefused:
            continue
        function, form = SENT[tree[1]]
        evaluate = compiled(tree)
        query = "SELECT value FROM pg_temp.tried(%s, %s)"
        found = postgres.execute(query, [theirs, function]).fetchall()
        for row, (sent,) in zip(rows, found, strict=True):
            value = evaluate(row)
            if sent is not None:
                content = bytes.fromhex(sent)
                expected = struct.unpack(form, content)[0] if form else content.decode()
                expected = expected if expected == expected else None  # NaN is null here
            else:
                expected = None
            if not same(value, expected):
                yield f"{ours} of {row}: {value!r}, PostgreSQL {expected!r}"
                break


def test_expressions_at_random_give_what_postgresql_gives(postgres: Any) -> None:
    """Forty expressions of 250 rows each."""
    found = list(differing(postgres, rows_at_random(250, 1), range(60)))
    assert not found, "\n".join(found)
