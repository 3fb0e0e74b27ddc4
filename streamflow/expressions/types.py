"""The types of expressions: their names in SQL, and when one becomes another."""

from streamflow.expressions.tree import (
    BOOL,
    DATE,
    FLOAT32,
    FLOAT64,
    INSTANT,
    INT32,
    INT64,
    NULL,
    STRING,
    Tree,
)

SQL_NAMES = {
    INT32: "integer",
    INT64: "bigint",
    FLOAT32: "real",
    FLOAT64: "double precision",
    BOOL: "boolean",
    STRING: "text",
    INSTANT: "bigint",
}
"""PostgreSQL's names of the types in which values are kept."""
CAST_TYPES = {
    "INT": INT32,
    "BIGINT": INT64,
    "FLOAT": FLOAT32,
    "DOUBLE": FLOAT64,
    "BOOLEAN": BOOL,
    "TEXT": STRING,
    "DATE": DATE,
}
"""By sqlglot's names, which are those of any dialect: its FLOAT is PostgreSQL's real."""


def is_wider(wanted: str, given: str) -> bool:
    """True where every value of a type is one of another as well, and for a bare NULL."""
    if given == NULL:
        return False
    pairs = {INT32: (INT64, FLOAT64), FLOAT32: (FLOAT64,), INT64: (), FLOAT64: ()}
    return wanted in pairs.get(given, ())


def cast(tree: Tree, wanted: str) -> Tree:
    """A tree of another type; itself where it has that type."""
    if tree[1] == wanted:
        return tree
    if tree[1] == NULL:
        return ["value", wanted, None]
    return ["cast", wanted, tree]
