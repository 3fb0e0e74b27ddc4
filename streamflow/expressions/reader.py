"""Reads the nodes of a parsed expression into a tree, each by its class."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from streamflow.expressions.arithmetic import CASTS, LIMITS
from streamflow.expressions.checks import DEEP, DEEPEST, Checks
from streamflow.expressions.tree import (
    BOOL,
    DATE,
    FEATURE_TYPES,
    FLOAT64,
    INSTANT,
    INT32,
    INT64,
    INTERVAL,
    NULL,
    STRING,
    Tree,
)
from streamflow.expressions.types import CAST_TYPES, SQL_NAMES, cast

ARITHMETIC: dict[type[Any], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
COMPARISONS: dict[type[Any], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
OF_DOUBLES: dict[type[Any], str] = {
    exp.Round: "round",
    exp.Floor: "floor",
    exp.Ceil: "ceil",
    exp.Ln: "ln",
    exp.Exp: "exp",
    exp.Sqrt: "sqrt",
}
"""Functions of a 64-bit float, into which PostgreSQL converts any number for them."""
JUNCTIONS: dict[type[Any], str] = {exp.And: "and", exp.Or: "or"}
EXTREMES: dict[type[Any], str] = {exp.Greatest: "greatest", exp.Least: "least"}


class Reader(Checks):
    """Reads the nodes of one expression."""

    def read(self, node: Any) -> Tree:
        """A node as a tree; raises ExpressionRefused."""
        for kinds, method in self.METHODS:
            if isinstance(node, kinds):
                self._depth += 1
                if self._depth > DEEPEST:
                    self.refuse(node, DEEP)
                tree = method(self, node)
                self._depth -= 1
                return tree
        name = node.this if isinstance(node, exp.Anonymous) else node.key
        return self.refuse(node, f"{str(name).lower()} is not among what an expression may use")

    def _paren(self, node: exp.Expression) -> Tree:
        return self.read(node.this)

    def _column(self, node: exp.Expression) -> Tree:
        parts = [
            part.name if part.quoted else part.name.lower()
            for part in node.parts  # type: ignore[attr-defined]
        ]
        name = ".".join(parts)
        if name not in self._inputs:
            self.refuse(node, f"there is none; there is {', '.join(self._inputs) or 'no input'}")
        type_ = self._inputs[name]
        if type_ not in FEATURE_TYPES:
            self.refuse(node, f"is {type_ or 'in several sources, name one as view.feature'}")
        return ["input", type_, name]

    def _literal(self, node: exp.Expression) -> Tree:
        if node.is_string:
            return ["value", STRING, node.this]
        if str(node.this).isdecimal():
            value = int(node.this)
            if value >= LIMITS[INT64]:
                self.refuse(node, "is a larger number than Int64 holds")
            return ["value", INT32 if value < LIMITS[INT32] else INT64, value]
        try:
            number = float(node.this)
        except ValueError:
            self.refuse(node, "is no number")
        if number in (float("inf"), float("-inf")):
            self.refuse(node, "is a larger number than Float64 holds")
        return ["value", FLOAT64, number]

    def _constant(self, node: exp.Expression) -> Tree:
        return ["value", NULL, None] if isinstance(node, exp.Null) else ["value", BOOL, node.this]

    def _arithmetic(self, node: exp.Expression) -> Tree:
        left, right = self.read(node.this), self.read(node.expression)
        if isinstance(node, exp.Sub) and left[1] == right[1] in (INSTANT, DATE):
            return ["-", INTERVAL if left[1] == INSTANT else INT32, left, right]
        numbers = [self.number(node.this, left), self.number(node.expression, right)]
        pair = self.alike(node, numbers, True)
        return [ARITHMETIC[type(node)], pair[0][1], *pair]

    def _modulo(self, node: exp.Expression) -> Tree:
        pair = self.alike(node, [self.number(node.this), self.number(node.expression)], True)
        if pair[0][1] not in LIMITS:
            self.refuse(node, f"is of {pair[0][1]}, integers are needed")
        return ["%", pair[0][1], *pair]

    def _negation(self, node: exp.Expression) -> Tree:
        tree = self.number(node.this)
        return ["negative", tree[1], tree]

    def _absolute(self, node: exp.Expression) -> Tree:
        tree = self.number(node.this)
        return ["abs", tree[1], tree]

    def _of_double(self, node: exp.Expression) -> Tree:
        if any(value for name, value in node.args.items() if name != "this"):
            self.refuse(node, "takes one argument; PostgreSQL has no other form for floats")
        return [OF_DOUBLES[type(node)], FLOAT64, cast(self.number(node.this), FLOAT64)]

    def _length(self, node: exp.Expression) -> Tree:
        tree = self.read(node.this)
        if tree[1] != STRING:
            self.refuse(node, f"{tree[1]} has no length")
        return ["length", INT32, tree]

    def _comparison(self, node: exp.Expression) -> Tree:
        return self.compared(node, COMPARISONS[type(node)], node.this, node.expression)

    def compared(
        self, node: exp.Expression, operator: str, left: exp.Expression, right: exp.Expression
    ) -> Tree:
        """A comparison; texts and truth values are equal or not, and in no order."""
        pair = self.alike(node, [self.read(left), self.read(right)], True)
        if pair[0][1] in (STRING, BOOL, INTERVAL) and operator not in ("=", "<>"):
            self.refuse(node, f"{pair[0][1]} has no order here")
        return [operator, BOOL, *pair]

    def _distinct(self, node: exp.Expression) -> Tree:
        pair = self.alike(node, [self.read(node.this), self.read(node.expression)], True)
        nulls = [["is null", BOOL, one] for one in pair]
        same: Tree = [
            "or",
            BOOL,
            ["and", BOOL, *nulls],
            ["coalesce", BOOL, ["=", BOOL, *pair], ["value", BOOL, False]],
        ]
        return same if isinstance(node, exp.NullSafeEQ) else ["not", BOOL, same]

    def _between(self, node: exp.Expression) -> Tree:
        low = self.compared(node, ">=", node.this, node.args["low"])
        return ["and", BOOL, low, self.compared(node, "<=", node.this, node.args["high"])]

    def _within(self, node: exp.Expression) -> Tree:
        choices = node.expressions
        if not choices:
            self.refuse(node, "needs a list of values")
        return ["or", BOOL, *(self.compared(node, "=", node.this, one) for one in choices)]

    def _junction(self, node: exp.Expression) -> Tree:
        return [
            JUNCTIONS[type(node)],
            BOOL,
            self.truth(node.this),
            self.truth(node.expression),
        ]

    def _opposite(self, node: exp.Expression) -> Tree:
        return ["not", BOOL, self.truth(node.this)]

    def _test(self, node: exp.Expression) -> Tree:
        if isinstance(node.expression, exp.Null):
            tree: Tree = ["is null", BOOL, self.read(node.this)]
        elif isinstance(node.expression, exp.Boolean):
            wanted: Tree = ["value", BOOL, node.expression.this]
            same: Tree = ["=", BOOL, self.truth(node.this), wanted]
            tree = ["coalesce", BOOL, same, ["value", BOOL, False]]
        else:
            self.refuse(node, "tests for NULL, TRUE or FALSE")
        return ["not", BOOL, tree] if node.args.get("negate") else tree

    def _choice(self, node: exp.Expression) -> Tree:
        subject, conditions, results = node.this, [], []
        for one in node.args["ifs"]:
            equals = subject is not None
            conditions.append(
                self.compared(node, "=", subject, one.this) if equals else self.truth(one.this)
            )
            results.append(self.read(one.args["true"]))
        default = node.args.get("default")
        otherwise: Tree = ["value", NULL, None] if default is None else self.read(default)
        *results, otherwise = self.alike(node, [*results, otherwise])
        pairs = [part for pair in zip(conditions, results, strict=True) for part in pair]
        return ["case", otherwise[1], *pairs, otherwise]

    def _first_known(self, node: exp.Expression) -> Tree:
        parts = self.alike(node, [self.read(one) for one in (node.this, *node.expressions)])
        return ["coalesce", parts[0][1], *parts]

    def _null_if(self, node: exp.Expression) -> Tree:
        pair = self.alike(node, [self.read(node.this), self.read(node.expression)], True)
        return ["nullif", pair[0][1], *pair]

    def _extreme(self, node: exp.Expression) -> Tree:
        parts = self.alike(node, [self.read(one) for one in (node.this, *node.expressions)])
        if parts[0][1] in (STRING, BOOL, INTERVAL):
            self.refuse(node, f"{parts[0][1]} has no order here")
        return [EXTREMES[type(node)], parts[0][1], *parts]

    def _conversion(self, node: exp.Expression) -> Tree:
        tree = self.read(node.this)
        named = node.args["to"].this if isinstance(node, exp.Cast) else exp.DataType.Type.DATE
        wanted = CAST_TYPES.get(getattr(named, "name", ""))
        if wanted is None:
            names = "integer, bigint, real, double precision, boolean, text, date"
            self.refuse(node, f"no value is cast to that type; {names} can be")
        if tree[1] not in (wanted, NULL) and (tree[1], wanted) not in CASTS:
            self.refuse(node, f"{tree[1]} is not cast to {SQL_NAMES.get(wanted, wanted)}")
        return cast(tree, wanted)

    def _extraction(self, node: exp.Expression) -> Tree:
        unit = {"EPOCH": "seconds", "DAY": "days"}.get(node.this.name.upper(), "")
        tree = self.read(node.expression)
        if not unit or tree[1] != INTERVAL:
            self.refuse(node, "takes EPOCH or DAY, of the difference of two instants")
        return [unit, FLOAT64, tree]

    METHODS: Sequence[tuple[Any, Callable[["Reader", Any], Tree]]] = (
        (exp.Paren, _paren),
        (exp.Column, _column),
        (exp.Literal, _literal),
        ((exp.Null, exp.Boolean), _constant),
        (tuple(ARITHMETIC), _arithmetic),
        (exp.Mod, _modulo),
        (exp.Neg, _negation),
        (exp.Abs, _absolute),
        (tuple(OF_DOUBLES), _of_double),
        (exp.Length, _length),
        (tuple(COMPARISONS), _comparison),
        ((exp.NullSafeEQ, exp.NullSafeNEQ), _distinct),
        (exp.Between, _between),
        (exp.In, _within),
        (tuple(JUNCTIONS), _junction),
        (exp.Not, _opposite),
        (exp.Is, _test),
        (exp.Case, _choice),
        (exp.Coalesce, _first_known),
        (exp.Nullif, _null_if),
        (tuple(EXTREMES), _extreme),
        ((exp.Cast, exp.Date, exp.TsOrDsToDate), _conversion),
        (exp.Extract, _extraction),
    )
    """By class of sqlglot, the first that fits."""
