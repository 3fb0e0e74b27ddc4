"""Refusals in the middle of a query: SQL that PostgreSQL fails on, with words of our own."""

import re

import psycopg
from psycopg import sql

from streamflow.errors import ValueRefused

SHOWN = 80
"""Characters of a value that an error shows."""
SAID = re.compile(r"streamflow refuses \[\[(.*)\]\]", re.DOTALL)


def refusing(label: str, given: sql.Composable, said: str, wanted: str) -> sql.Composed:
    """A null of the type `wanted`, for which PostgreSQL has to read a sentence as a number.

    It depends on the value, so that nothing of it is computed before the query runs.

    Args:
        label: what the sentence begins with; the value `given` follows, and what is `said` of it.
    """
    return sql.SQL(
        "CASE WHEN concat({}, left({}::text, {}), {})::integer IS NULL THEN NULL::{} END"
    ).format(
        sql.Literal(f"streamflow refuses [[{label}: "),
        given,
        sql.Literal(SHOWN),
        sql.Literal(f" {said}]]"),
        sql.SQL(wanted),
    )


def refused(error: BaseException) -> ValueRefused | None:
    """The refusal that PostgreSQL's error tells of; None for any other error."""
    found = SAID.search(str(error)) if isinstance(error, psycopg.DataError) else None
    return ValueRefused(found[1]) if found else None
