"""The operators and functions of expressions, on values that are not null.

Each gives what PostgreSQL 18 gives for the same types, bit for bit. Where PostgreSQL refuses a
value (a division by zero, a result that is out of range), NoValue is raised, and the feature is
null.
"""

import math
from collections.abc import Callable
from struct import Struct
from typing import Any

from streamflow.expressions.tree import (
    BOOL,
    DATE,
    FLOAT32,
    FLOAT64,
    INSTANT,
    INT32,
    INT64,
    INTERVAL,
    STRING,
)

Function = Callable[..., Any]
SINGLE = Struct("f")
LIMITS = {INT32: 1 << 31, INT64: 1 << 63}
DOUBLE_BITS = 53
DAY_S = 86_400


class NoValue(Exception):
    """PostgreSQL would refuse to compute this, so that the feature is null."""


def whole(type_: str, value: int) -> int:
    """An integer that its type can hold; raises NoValue for another."""
    if not -LIMITS[type_] <= value < LIMITS[type_]:
        raise NoValue
    return value


def single(value: float) -> float:
    """The nearest 32-bit float; raises NoValue where that would be infinite."""
    try:
        return float(SINGLE.unpack(SINGLE.pack(value))[0])
    except OverflowError:
        raise NoValue from None


def single_of_whole(value: int) -> float:
    """The 32-bit float that is nearest to an integer, rounded once."""
    spare = value.bit_length() - DOUBLE_BITS
    if spare > 0:  # a last bit stands for those that are cut off, so that nothing is rounded twice
        kept = abs(value) >> spare
        rest = abs(value) & ((1 << spare) - 1)
        value = int(math.copysign((kept | bool(rest)) << spare, value))
    return single(float(value))


def floats(type_: str, value: float, *arguments: float) -> float:
    """The result of an operation on floats; raises NoValue where it overflows."""
    result = single(value) if type_ == FLOAT32 else value
    if math.isinf(result) and not any(map(math.isinf, arguments)):
        raise NoValue
    return result


def add(type_: str, a: Any, b: Any) -> Any:
    """a + b."""
    return whole(type_, a + b) if type_ in LIMITS else floats(type_, a + b, a, b)


def subtract(type_: str, a: Any, b: Any) -> Any:
    """a - b; of two instants or dates the seconds or days between them."""
    if type_ == INTERVAL:
        return a - b
    return whole(type_, a - b) if type_ in LIMITS else floats(type_, a - b, a, b)


def multiply(type_: str, a: Any, b: Any) -> Any:
    """a * b; raises NoValue also where a product of floats is too small for its type."""
    if type_ in LIMITS:
        return whole(type_, a * b)
    result = floats(type_, a * b, a, b)
    if result == 0 and a != 0 and b != 0:
        raise NoValue
    return result


def divide(type_: str, a: Any, b: Any) -> Any:
    """a / b, of integers without its fraction."""
    if b == 0:
        if type_ not in LIMITS and math.isnan(a):
            return a
        raise NoValue
    if type_ in LIMITS:
        quotient = abs(a) // abs(b)
        return whole(type_, quotient if (a < 0) == (b < 0) else -quotient)
    result = floats(type_, a / b, a)
    if result == 0 and a != 0 and not math.isinf(b):
        raise NoValue
    return result


def remainder(type_: str, a: int, b: int) -> int:
    """a % b of integers, which has the sign of a."""
    if b == 0:
        raise NoValue
    return int(math.copysign(1, a)) * (abs(a) % abs(b))


def negative(type_: str, a: Any) -> Any:
    """-a."""
    return whole(type_, -a) if type_ in LIMITS else -a


def absolute(type_: str, a: Any) -> Any:
    """abs(a)."""
    return whole(type_, abs(a)) if type_ in LIMITS else abs(a)


def rounding(function: Callable[[float], int]) -> Function:
    """A function that rounds 64-bit floats; it keeps the sign of a zero, as C does."""

    def rounded(_: str, a: float) -> float:
        return math.copysign(float(function(a)), a) if math.isfinite(a) else a

    return rounded


def logarithm(_: str, a: float) -> float:
    """ln(a)."""
    if a <= 0:
        raise NoValue
    return math.log(a)


def exponential(_: str, a: float) -> float:
    """exp(a)."""
    try:
        result = math.exp(a)
    except OverflowError:
        raise NoValue from None
    if result == 0 and math.isfinite(a):
        raise NoValue
    return result


def square_root(_: str, a: float) -> float:
    """sqrt(a)."""
    if a < 0:
        raise NoValue
    return math.sqrt(a)


def ordered(a: Any) -> Any:
    """A value as it is compared: NaN equals itself and is above all other numbers."""
    return (a != a, 0 if a != a else a)


def equal(_: str, a: Any, b: Any) -> bool:
    """a = b."""
    return bool(a == b or (a != a and b != b))


def less(_: str, a: Any, b: Any) -> bool:
    """a < b."""
    if a == a and b == b:
        return bool(a < b)
    return bool(ordered(a) < ordered(b))


def convert(given: str, wanted: str) -> Callable[[Any], Any] | None:
    """The function that casts a value; None where PostgreSQL has no such cast, or none is needed
    that an expression may use."""
    return CASTS.get((given, wanted))


def nearest_whole(type_: str) -> Callable[[float], int]:
    """Casts floats to an integer type: to the nearest one, of two the even one."""

    def cast(value: float) -> int:
        if not math.isfinite(value):
            raise NoValue
        return whole(type_, round(value))

    return cast


def narrower(value: float) -> float:
    """A 64-bit float as one of 32 bits; raises NoValue where it is out of range."""
    result = floats(FLOAT32, value, value)
    if result == 0 and value != 0:
        raise NoValue
    return result


CASTS: dict[tuple[str, str], Callable[[Any], Any]] = {
    (INT32, INT64): int,
    (INT64, INT32): lambda value: whole(INT32, value),
    (INT32, FLOAT32): single_of_whole,
    (INT64, FLOAT32): single_of_whole,
    (INT32, FLOAT64): float,
    (INT64, FLOAT64): float,
    (FLOAT32, FLOAT64): float,
    (FLOAT64, FLOAT32): narrower,
    (FLOAT32, INT32): nearest_whole(INT32),
    (FLOAT32, INT64): nearest_whole(INT64),
    (FLOAT64, INT32): nearest_whole(INT32),
    (FLOAT64, INT64): nearest_whole(INT64),
    (BOOL, INT32): int,
    (INT32, BOOL): bool,
    (INT32, STRING): str,
    (INT64, STRING): str,
    (BOOL, STRING): lambda value: str(value).lower(),
    (INSTANT, DATE): lambda seconds: seconds // DAY_S,
}
"""By the types of value and result."""
FUNCTIONS: dict[str, Function] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "negative": negative,
    "abs": absolute,
    "round": rounding(round),
    "floor": rounding(math.floor),
    "ceil": rounding(math.ceil),
    "ln": logarithm,
    "exp": exponential,
    "sqrt": square_root,
    "length": lambda _, text: len(text),
    "seconds": lambda _, interval: float(interval),
    "days": lambda _, interval: float(int(math.copysign(abs(interval) // DAY_S, interval))),
    "=": equal,
    "<>": lambda _, a, b: not equal(_, a, b),
    "<": less,
    ">": lambda _, a, b: less(_, b, a),
    "<=": lambda _, a, b: not less(_, b, a),
    ">=": lambda _, a, b: not less(_, a, b),
}
"""Functions that give null where an argument is null: of the type of their value, and arguments."""
