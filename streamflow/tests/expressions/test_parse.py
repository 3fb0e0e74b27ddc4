"""Expressions that cannot be evaluated are refused with the part and its place."""

import sys

import pytest

from streamflow.expressions.checks import ExpressionRefused
from streamflow.expressions.evaluate import compiled
from streamflow.expressions.parse import LONGEST, parsed

TYPES = {
    "i": "Int32",
    "b": "Int64",
    "f": "Float32",
    "d": "Float64",
    "t": "Bool",
    "s": "String",
    "u": "UnixTimestamp",
    "list": "Array(Int64)",
    "twice": "",
    "view.d": "Float64",
    "Mixed Case": "Int64",
}
VALUES = {"i": 7, "b": 2, "d": 9.5, "t": None, "s": "it's", "view.d": 1.5, "Mixed Case": 3}


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ("d / NULLIF(b - 2, 0)", "Float64", None),
        ("i / b", "Int64", 3),
        ("-i % 4", "Int32", -3),
        ("view.d + d", "Float64", 11.0),
        ('"Mixed Case" * 2', "Int64", 6),
        ("I + 1", "Int32", 8),
        ("CASE WHEN t THEN 1 WHEN s = 'it''s' THEN 2 END", "Int32", 2),
        ("t IS NULL AND b IN (1, 2)", "Bool", True),
        ("COALESCE(t, i BETWEEN 1 AND 7)", "Bool", True),
        ("length(s) -- of its characters", "Int32", 4),
        ("b::double precision", "Float64", 2.0),
        ("9223372036854775807 + b", "Int64", None),
    ],
)
def test_what_can_be_evaluated_is(text: str, type_: str, value: object) -> None:
    tree = parsed(text, TYPES)
    assert tree[1] == type_
    found = compiled(tree)(VALUES)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing in place of an expression"),
        ("-- d", "nothing in place of an expression"),
        ("d; d", "several statements in place of an expression"),
        ("d +", "Required keyword: 'expression' missing, at position 3"),
        ("d FROM x", "Invalid expression / Unexpected token, at position 6"),
        ("d + pg_sleep(9)", "PG_SLEEP(9) (position 5): pg_sleep is not among what an"),
        ("(SELECT 1)", "(SELECT 1) (position 9): subquery is not among"),
        ("now()", "currenttimestamp is not among what an expression may use"),
        ("sum(d) OVER ()", "window is not among"),
        ("d AS x", "alias is not among"),
        ("d + s", "s (position 5): is String, a number is needed"),
        ("d + u", "u (position 5): is UnixTimestamp, a number is needed"),
        ("CASE WHEN d THEN 1 END", "d (position 11): is Float64, a condition is needed"),
        ("COALESCE(d, s)", "has Float64 and String together"),
        ("COALESCE(NULL, NULL)", "has nothing but NULL"),
        ("round(d, 2)", "takes one argument"),
        ("s < 'a'", "String has no order here"),
        ("length(d)", "Float64 has no length"),
        ("missing + 1", "missing (position 1): there is none; there is i, b, f"),
        ("other.d", "other.d (position 1): there is none"),
        ("list IS NULL", "list (position 1): is Array(Int64)"),
        ("twice + 1", "is in several sources, name one as view.feature"),
        ("CAST(s AS integer)", "String is not cast to integer"),
        ("d::numeric", "no value is cast to that type; integer, bigint, real"),
        ("EXTRACT(hour FROM u - u)", "takes EPOCH or DAY"),
        ("EXTRACT(epoch FROM u)", "of the difference of two instants"),
        ("99999999999999999999", "is a larger number than Int64 holds"),
        ("1e999", "is a larger number than Float64 holds"),
        ("f % 2", "integers are needed"),
        ("(" * 60 + "d" + ")" * 60, "is nested more than 50 deep"),
        ("d" * (LONGEST + 1), f"has {LONGEST + 1:,} characters"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(ExpressionRefused) as refused:
        parsed(text, TYPES)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "wanted", "why"),
    [
        ("d", "Int64", "gives Float64, and the feature is Int64: CAST(… AS bigint)"),
        ("b", "Float64", "gives Int64, and the feature is Float64: CAST(… AS double precision)"),
        ("NULL", "Int64", "is nothing but NULL"),
    ],
)
def test_another_type_than_the_features_is_refused(text: str, wanted: str, why: str) -> None:
    with pytest.raises(ExpressionRefused) as refused:
        parsed(text, TYPES, wanted)
    assert str(refused.value) == why


def test_a_narrower_type_becomes_the_features() -> None:
    assert compiled(parsed("i", TYPES, "Float64"))(VALUES) == 7.0
    assert compiled(parsed("1 + i", TYPES, "Int64"))(VALUES) == 8


def test_nothing_of_a_deep_text_reaches_pythons_limit() -> None:
    text = " + ".join(["d"] * 1500)
    limit = sys.getrecursionlimit()
    with pytest.raises(ExpressionRefused):
        parsed(text, TYPES)
    assert sys.getrecursionlimit() == limit
