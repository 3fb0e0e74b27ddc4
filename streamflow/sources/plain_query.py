"""Queries that select columns of one table and do nothing else, told from all others."""

import re
from typing import NamedTuple

from streamflow.errors import QueryRefused
from streamflow.sources.written_sql import Piece, pieces

SIGNS = {"SELECT": "S", "FROM": "F", "AS": "A", "TEXT": "t"}
"""Words that the shape of a query shows by a letter; all other words and names are `n`."""
COLUMN = "[nt](?:::t)?(?:A[nt])?"
SHAPE = re.compile(rf"S(?:\*|{COLUMN}(?:,{COLUMN})*)F[nt](?:\.[nt])?;*")
"""SELECT, columns as they are or as text, FROM and a table."""
NO_COLUMNS = {
    *("current_catalog", "current_date", "current_role", "current_schema", "current_time"),
    *("current_timestamp", "current_user", "localtime", "localtimestamp", "session_user"),
    *("system_user", "user"),
}
"""Words that PostgreSQL reads as functions, which need no parentheses."""


class PlainQuery(NamedTuple):
    """The table of a query and what it selects of it."""

    table: str
    """Its name, written like behind FROM."""
    columns: tuple[str, ...]
    """By the names that PostgreSQL knows them by; none for all."""


def plain_query(query: str) -> PlainQuery | None:
    """Table and columns of a query which says nothing else; None for any other."""
    try:
        found = list(pieces(query, "the query"))
    except QueryRefused:
        return None
    shape = "".join(map(letter, found))
    if not SHAPE.fullmatch(shape):
        return None
    names = [known_as(one) for one in found]
    if any(one.kind == "word" and one.text.lower() in NO_COLUMNS for one in found):
        return None
    end = shape.index("F")
    columns = [names[at] for at in range(1, end) if shape[at] in "nt" and shape[at - 1] in "S,"]
    table = "".join(one.text for one in found[end + 1 :] if one.text != ";")
    return PlainQuery(table, tuple(columns))


def letter(piece: Piece) -> str:
    """The letter of a piece in the shape of a query."""
    if piece.kind == "word":
        return SIGNS.get(piece.text.upper(), "n")
    return "n" if piece.kind == "name" else piece.text if piece.kind == "sign" else "?"


def known_as(piece: Piece) -> str:
    """The name that a word or a name in quotes stands for."""
    if piece.kind == "name":
        return piece.text[1:-1].replace('""', '"')
    return piece.text.lower()
