"""Reads an expression of SQL into a tree with types, or refuses it with the place of the fault.

The language is PostgreSQL's, a part of it: what PostgreSQL and this project evaluate alike. A
number with a point or an exponent is a Float64.
"""

from collections.abc import Mapping

from sqlglot import parse
from sqlglot.errors import SqlglotError

from streamflow.expressions.checks import DEEP, ExpressionRefused
from streamflow.expressions.reader import Reader
from streamflow.expressions.tree import NULL, Tree
from streamflow.expressions.types import SQL_NAMES, cast, is_wider

LONGEST = 4000
"""Characters of a text that is read."""


def parsed(text: str, inputs: Mapping[str, str], wanted: str = "") -> Tree:
    """Reads an expression.

    Args:
        inputs: the names that it may take values from, and the types of those as Feast calls them;
            a name may be qualified, `view.feature`.
        wanted: the type that its value is to have, from which a narrower one differs by no value;
            empty for the expression's own.

    Raises:
        ExpressionRefused: it cannot be evaluated, or gives another type.
    """
    if len(text) > LONGEST:
        raise ExpressionRefused(f"has {len(text):,} characters, {LONGEST:,} at most are read")
    try:
        found = [one for one in parse(text, dialect="postgres") if one is not None]
    except (SqlglotError, RecursionError) as error:
        raise ExpressionRefused(syntax_error(error)) from None
    if len(found) != 1:
        what = "several statements" if found else "nothing"
        raise ExpressionRefused(f"{what} in place of an expression")
    tree = Reader(inputs).read(found[0])
    if wanted and tree[1] != wanted:
        if not is_wider(wanted, tree[1]):
            raise ExpressionRefused(
                f"gives {tree[1]}, and the feature is {wanted}: CAST(… AS {SQL_NAMES[wanted]})"
                if tree[1] != NULL
                else "is nothing but NULL"
            )
        tree = cast(tree, wanted)
    return tree


def syntax_error(error: Exception) -> str:
    """The fault of a text that is no SQL, with its place."""
    if isinstance(error, RecursionError):
        return DEEP
    [first] = getattr(error, "errors", None) or [{}]
    said = str(first.get("description") or "cannot be read").split(" for <class")[0].rstrip(".")
    place = first.get("col")
    return f"{said}, at position {place}" if place else said
