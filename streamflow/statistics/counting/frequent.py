"""Finds a value that stands out of a column of many values, as one does that stands for none."""

from typing import Any

from psycopg import Connection, sql

from streamflow.statistics.counting.measured import Column, Measured
from streamflow.statistics.summary import Frequent

SHARE = 0.2
"""The share of the rows that such a value has at least."""
TIMES = 4
"""So many times the rows of the second most frequent value are far above it."""


def find(
    connection: Connection[Any], measured: Measured, column: Column, rows: int
) -> Frequent | None:
    """The value of a column that stands out, and the column whose value tells the same rows."""
    query = sql.SQL(TOP_TWO).format(text=column.text, value=column.value, rows=measured.relation)
    found = connection.execute(query).fetchall()
    if not found:
        return None
    (text, count), next_count = found[0], found[1][1] if len(found) > 1 else 0
    if count <= SHARE * rows or count < TIMES * next_count:
        return None
    for name, value in companions(connection, measured, column, text, count):
        return Frequent(text, count, next_count, name, value)
    return Frequent(text, count, next_count)


TOP_TWO = """
    SELECT {text}, count(*) FROM {rows} WHERE {value} IS NOT NULL
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2"""
"""The two most frequent values of a column with their rows."""


def companions(
    connection: Connection[Any], measured: Measured, column: Column, value: str, count: int
) -> list[tuple[str, str | None]]:
    """Columns that have one value in exactly the rows that have `value`, with that value."""
    others = {name: one for name, one in measured.columns.items() if one is not column}
    if not others:
        return []
    ranges = [sql.SQL(RANGE).format(one.text) for one in others.values()]
    query = sql.SQL("SELECT {} FROM {} WHERE {} = %s").format(
        sql.SQL(", ").join(ranges), measured.relation, column.text
    )
    row = connection.execute(query, [value]).fetchone() or ()
    # One value, without nulls, or nothing but nulls.
    alike = {
        name: low
        for name, (low, high, known) in zip(others, row, strict=True)
        if low == high and known in ("0", str(count))
    }
    if not alike:
        return []
    counts = [
        sql.SQL("count(*) FILTER (WHERE {} IS NOT DISTINCT FROM {})").format(
            others[name].text, sql.Literal(low)
        )
        for name, low in alike.items()
    ]
    query = sql.SQL("SELECT ARRAY[{}] FROM {}").format(
        sql.SQL(", ").join(counts), measured.relation
    )
    (totals,) = connection.execute(query).fetchone() or ([],)
    return [one for one, total in zip(alike.items(), totals, strict=True) if total == count]


RANGE = """ARRAY[min({0} COLLATE "C"), max({0} COLLATE "C"), count({0})::text]"""
"""The least and the greatest text of a column, and the number of its values."""
