"""Which queries select columns of one table and nothing else."""

import pytest

from streamflow.sources.plain_query import plain_query

PLAIN = {
    "SELECT user_id, as_of FROM source.users": ("source.users", ("user_id", "as_of")),
    "\n  select User_ID,\n as_of -- when\n FROM users ;": ("users", ("user_id", "as_of")),
    "SELECT * FROM shop.orders;": ("shop.orders", ()),
    'SELECT "Größe", "a ""b""" FROM "My Shop"."t"': ('"My Shop"."t"', ("Größe", 'a "b"')),
    "SELECT signup_date::text, fee AS monthly, text FROM t": ("t", ("signup_date", "fee", "text")),
    "SELECT day::TEXT AS day /* of January */ FROM t": ("t", ("day",)),
}
OTHERS = [
    "SELECT a, current_date FROM t",
    "SELECT a, LocalTimestamp::text FROM t",
    "SELECT user FROM t",
    "SELECT a FROM current_date",
    "SELECT a, now() FROM t",
    "SELECT DISTINCT a FROM t",
    "SELECT a FROM t WHERE b",
    "SELECT a FROM t LIMIT 3",
    "SELECT a FROM t, u",
    "SELECT a FROM t u",
    "SELECT a FROM ONLY t",
    "SELECT a FROM generate_series(1, 3)",
    "SELECT a::date FROM t",
    "SELECT a || b FROM t",
    "SELECT t.a FROM t",
    "SELECT a b FROM t",
    "SELECT 'a' FROM t",
    "SELECT $1 FROM t",
    "SELECT FROM t",
    "SELECT a, FROM t",
    "SELECT a FROM d.s.t",
    "SELECT a FROM t UNION SELECT a FROM u",
    "WITH t AS (SELECT 1 AS a) SELECT a FROM t",
    "(SELECT a FROM t)",
    "TABLE t",
    "VALUES (1)",
    "SELECT a FROM t; SELECT b FROM t",
    'SELECT U&"a" FROM t',
    "SELECT 'a FROM t",
    "",
]


@pytest.mark.parametrize(("query", "expected"), PLAIN.items())
def test_columns_of_one_table_are_plain(query: str, expected: tuple[str, tuple[str, ...]]) -> None:
    assert plain_query(query) == expected


@pytest.mark.parametrize("query", OTHERS)
def test_whatever_else_a_query_says_it_is_not(query: str) -> None:
    assert plain_query(query) is None
