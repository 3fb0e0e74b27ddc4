"""A checked expression: what may be in one, and the form in which the catalog keeps it.

The form is a tree of lists, ["operator", "type", argument, …], which JSON carries without a loss:
readers evaluate it without the text, and without the library that reads that.
"""

from collections.abc import Mapping
from typing import Any

Tree = list[Any]
"""An operator, the type of its value, and its arguments, which are trees but for names and values.
"""
INT32, INT64, FLOAT32, FLOAT64 = "Int32", "Int64", "Float32", "Float64"
BOOL, STRING, INSTANT = "Bool", "String", "UnixTimestamp"
DATE, INTERVAL, NULL = "date", "interval", "null"
"""Types that only parts of an expression have: days since 1970, seconds, and a bare NULL."""
NUMBERS = (INT32, INT64, FLOAT32, FLOAT64)
"""Each can hold what those before it hold, the nearest of it where that has to be."""
FEATURE_TYPES = (*NUMBERS, BOOL, STRING, INSTANT)
"""The types of Feast that an expression can take and give."""


def inputs_of(tree: Tree) -> list[str]:
    """The names that an expression takes its values from, each once, in their order."""
    if tree[0] == "input":
        return [tree[2]]
    found: dict[str, None] = {}
    for part in tree[2:]:
        if isinstance(part, list):
            found |= dict.fromkeys(inputs_of(part))
    return list(found)


def renamed(tree: Tree, names: Mapping[str, Any]) -> Tree:
    """An expression whose inputs have other names, or positions in place of names."""
    if tree[0] == "input":
        return [*tree[:2], names[tree[2]]]
    return [renamed(part, names) if isinstance(part, list) else part for part in tree]
