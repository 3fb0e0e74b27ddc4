"""Queries as people write them, made fit to stand in parentheses behind FROM.

PostgreSQL reads the query; here it is only cut into comments, quoted texts, words and signs, so
that a semicolon at the end is told from one inside of a text.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from streamflow.errors import QueryRefused

READING = ("SELECT", "WITH", "VALUES", "TABLE")
"""The first word of a query that reads rows; a parenthesis may come before."""
PIECE = re.compile(
    r"""(?P<blank>[\s\ufeff]+|--[^\n]*)
      | (?P<comment>/\*)
      | (?P<text>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*'
                | \$(?P<tag>[^\W\d]\w*)?\$ .*? \$(?(tag)(?P=tag))\$)
      | (?P<name>"(?:[^"]|"")+")
      | (?P<word>[\w][\w$]*)
      | (?P<open>['"]|\$(?:[^\W\d]\w*)?\$)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)


class Piece(NamedTuple):
    """A part of a query that is neither blank nor comment."""

    kind: str
    """`text`, `name` (in quotes), `word` or `sign`."""
    text: str
    at: int


def subquery(query: str, subject: str) -> str:
    """One query that reads rows, without the semicolons behind it; its comments may stay.

    It may end in a comment of one line, so it needs a line end before what comes next. The name
    of a table alone stands for its rows.

    Args:
        subject: what the query is, for a message: `the entity query`.

    Raises:
        QueryRefused: there is no query, more than one, or one that does not read.
    """
    query = query.lstrip("\ufeff")
    found = list(pieces(query, subject))
    end = next((at for at, one in enumerate(found) if one.text == ";"), len(found))
    if any(one.text != ";" for one in found[end:]):
        raise QueryRefused(f"{subject} has more than one statement; it has to be a single query")
    written = query[: found[end].at] if end < len(found) else query
    found = found[:end]
    if not found:
        raise QueryRefused(f"{subject} is empty")
    require_balance(found, subject)
    first = next((one for one in found if one.text != "("), found[0])
    if first.kind == "word" and first.text.upper() in READING:
        return written
    if is_table(found):
        return f"TABLE {written}"
    raise QueryRefused(
        f"{subject} begins with {first.text[:40]}; it has to read rows: {', '.join(READING)},"
        " or the name of a table"
    )


def is_query(given: str) -> bool:
    """True where a text begins as a query does, and is no path or URL: SELECT, WITH, …"""
    start = re.match(
        r"(?:[\s(\ufeff]+|--[^\n]*\n|/\*.*?\*/)*([A-Za-z]+)[\s(*'\"]", given, re.DOTALL
    )
    return start is not None and start[1].upper() in READING


def pieces(query: str, subject: str) -> Iterator[Piece]:
    """The parts of a query, without blanks and comments.

    Raises:
        QueryRefused: a comment or a quoted text does not end.
    """
    at = 0
    while at < len(query):
        found = PIECE.match(query, at)
        assert found is not None  # noqa: S101  # any sign is one
        kind = found.lastgroup
        if kind == "open":
            raise QueryRefused(f"{subject} has a quote that does not end: {query[at : at + 40]!r}")
        if kind == "comment":
            at = end_of_comment(query, at, subject)
            continue
        if kind and kind != "blank":
            yield Piece(kind, found[0], at)
        at = found.end()


def end_of_comment(query: str, at: int, subject: str) -> int:
    """The end of the comment that begins at `at`; in PostgreSQL they may stand in each other."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", query[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return at + mark.end()
    raise QueryRefused(f"{subject} has a comment that does not end: {query[at : at + 40]!r}")


def require_balance(found: list[Piece], subject: str) -> None:
    """Returns when no parenthesis ends more than the query began, or never ends."""
    depth = 0
    for one in found:
        depth += {"(": 1, ")": -1}.get(one.text, 0)
        if depth < 0:
            break
    if depth:
        raise QueryRefused(f"{subject} has a parenthesis without its other half")


def is_table(found: list[Piece]) -> bool:
    """True where the query is the name of a table alone, perhaps with its schema."""
    names, dots = found[::2], found[1::2]
    return (
        len(found) % 2 == 1
        and all(one.kind in ("word", "name") for one in names)
        and all(one.text == "." for one in dots)
    )
