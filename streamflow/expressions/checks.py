"""The checks of a parsed expression's parts: of a number, of a condition, of types together."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NoReturn

from sqlglot import exp

from streamflow.errors import ConfigurationError
from streamflow.expressions.tree import BOOL, FLOAT32, FLOAT64, INT32, NULL, NUMBERS, Tree
from streamflow.expressions.types import cast

SHOWN = 40
"""Characters of a part that an error shows."""
DEEPEST = 50
DEEP = f"is nested more than {DEEPEST} deep"


class ExpressionRefused(ConfigurationError):
    """An expression is not one that can be evaluated; says what part of it, and where that is."""


class Checks(ABC):
    """Reads parts of an expression that have to be of a kind."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        """
        Args:
            inputs: the types by the names that an expression may use; empty for a name that has to
                be qualified.
        """
        self._inputs, self._depth = inputs, 0

    @abstractmethod
    def read(self, node: exp.Expression) -> Tree:
        """A node as a tree."""

    def refuse(self, node: exp.Expression, why: str) -> NoReturn:
        """Raises ExpressionRefused for a node, with its text and place."""
        if self._depth > DEEPEST:
            raise ExpressionRefused(why)
        starts = [one.meta["start"] for one in node.walk() if "start" in one.meta]
        place = f" (position {min(starts) + 1})" if starts else ""
        said = node.sql("postgres")
        shown = said if len(said) <= SHOWN else said[: SHOWN - 1] + "…"
        raise ExpressionRefused(f"{shown}{place}: {why}")

    def number(self, node: exp.Expression, tree: Tree | None = None) -> Tree:
        """A node that has to be a number; `tree` where it was read already."""
        tree = tree or self.read(node)
        if tree[1] not in (*NUMBERS, NULL):
            self.refuse(node, f"is {tree[1]}, a number is needed")
        return tree if tree[1] != NULL else cast(tree, INT32)

    def truth(self, node: exp.Expression) -> Tree:
        """A node that has to be true or false."""
        tree = self.read(node)
        if tree[1] not in (BOOL, NULL):
            self.refuse(node, f"is {tree[1]}, a condition is needed")
        return cast(tree, BOOL)

    def alike(
        self, node: exp.Expression, trees: Sequence[Tree], as_arguments: bool = False
    ) -> list[Tree]:
        """Trees in their common type, as PostgreSQL chooses it.

        Args:
            as_arguments: of an operator, which takes an integer and a 32-bit float as 64-bit ones.
        """
        types = {tree[1] for tree in trees} - {NULL}
        if types <= set(NUMBERS) and types:
            common = max(types, key=NUMBERS.index)
            if as_arguments and common == FLOAT32 and len(types) > 1:
                common = FLOAT64
        elif len(types) == 1:
            [common] = types
        elif not types:
            self.refuse(node, "has nothing but NULL")
        else:
            self.refuse(node, f"has {' and '.join(sorted(types))} together")
        return [cast(tree, common) for tree in trees]
