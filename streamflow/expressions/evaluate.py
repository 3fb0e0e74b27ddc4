"""Evaluates checked expressions: each becomes a function of the values that it takes."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from streamflow.expressions.arithmetic import CASTS, FUNCTIONS, NoValue, equal, ordered
from streamflow.expressions.tree import Tree

Values = Mapping[str, Any] | Sequence[Any]
"""The inputs by name or position: instants in whole seconds since 1970, others as Python has them.
"""
Evaluate = Callable[[Values], Any]


def compiled(tree: Tree) -> Evaluate:
    """A function that evaluates an expression; null where PostgreSQL would refuse to.

    NaN is null as well, which is what Feast's SDK makes of one that is computed. It is the only
    evaluation there is: of training sets, of Feast's SDK and of the API.
    """
    evaluate = part(tree)

    def value(values: Values) -> Any:
        try:
            found = evaluate(values)
        except NoValue:
            return None
        return found if found == found else None

    return value


def part(tree: Tree) -> Evaluate:
    """A function that evaluates a part of an expression; it may raise NoValue."""
    operator, type_, *arguments = tree
    if operator == "input":
        return itemgetter(arguments[0])
    if operator == "value":
        return lambda _, value=arguments[0]: value  # type: ignore[misc]
    parts = [part(one) for one in arguments]
    if operator in SPECIAL:
        made = SPECIAL[operator](parts)
    elif operator == "cast":
        made = cast(CASTS[arguments[0][1], type_], parts)
    else:
        made = strict(FUNCTIONS[operator], type_, parts)
    return constant(made) if all(one[0] == "value" for one in arguments) else made


def constant(evaluate: Evaluate) -> Evaluate:
    """A function of no inputs, evaluated once; one that has no value is left as it is."""
    try:
        found = evaluate({})
    except NoValue:
        return evaluate
    return lambda _: found


def cast(function: Callable[[Any], Any], parts: list[Evaluate]) -> Evaluate:
    """A function that converts a value which is not null."""
    [only] = parts

    def value(values: Values) -> Any:
        a = only(values)
        return None if a is None else function(a)

    return value


def strict(function: Callable[..., Any], type_: str, parts: list[Evaluate]) -> Evaluate:
    """A function that gives null where an argument is null."""
    if len(parts) == 1:
        [only] = parts

        def one(values: Values) -> Any:
            a = only(values)
            return None if a is None else function(type_, a)

        return one
    left, right = parts

    def two(values: Values) -> Any:
        a, b = left(values), right(values)
        return None if a is None or b is None else function(type_, a, b)

    return two


def junction(decisive: bool) -> Callable[[list[Evaluate]], Evaluate]:
    """AND or OR: `decisive` as soon as one is, else null where one is null, else the opposite."""

    def made(parts: list[Evaluate]) -> Evaluate:
        def value(values: Values) -> bool | None:
            found: bool | None = not decisive
            for one in parts:
                is_true: bool | None = one(values)
                if is_true is decisive:
                    return decisive
                found = None if is_true is None else found
            return found

        return value

    return made


def opposite(parts: list[Evaluate]) -> Evaluate:
    """NOT."""
    [only] = parts

    def value(values: Values) -> bool | None:
        is_true = only(values)
        return None if is_true is None else not is_true

    return value


def is_null(parts: list[Evaluate]) -> Evaluate:
    """IS NULL."""
    [only] = parts
    return lambda values: only(values) is None


def first_known(parts: list[Evaluate]) -> Evaluate:
    """COALESCE: the first that is not null; the others are not evaluated."""

    def value(values: Values) -> Any:
        for one in parts:
            if (found := one(values)) is not None:
                return found
        return None

    return value


def null_if(parts: list[Evaluate]) -> Evaluate:
    """NULLIF: the first, or null where both are equal."""
    left, right = parts

    def value(values: Values) -> Any:
        a, b = left(values), right(values)
        return None if a is not None and b is not None and equal("", a, b) else a

    return value


def chosen(parts: list[Evaluate]) -> Evaluate:
    """CASE: conditions, each with its value, and the value where none is true."""
    *pairs, otherwise = parts
    cases = list(zip(pairs[::2], pairs[1::2], strict=True))

    def value(values: Values) -> Any:
        for condition, result in cases:
            if condition(values):
                return result(values)
        return otherwise(values)

    return value


def extreme(choose: Callable[..., Any]) -> Callable[[list[Evaluate]], Evaluate]:
    """GREATEST or LEAST, of those that are not null."""

    def made(parts: list[Evaluate]) -> Evaluate:
        def value(values: Values) -> Any:
            known = [v for one in parts if (v := one(values)) is not None]
            for v in known:  # any() of a generator takes three times as long
                if v != v:
                    return choose(known, key=ordered)
            return choose(known, default=None)

        return value

    return made


SPECIAL: dict[str, Callable[[list[Evaluate]], Evaluate]] = {
    "and": junction(decisive=False),
    "or": junction(decisive=True),
    "not": opposite,
    "is null": is_null,
    "coalesce": first_known,
    "nullif": null_if,
    "case": chosen,
    "greatest": extreme(max),
    "least": extreme(min),
}
"""Operators that take nulls, or do not evaluate all of their arguments."""
