"""Values, rows and expressions at random, for the tests of expressions."""

import math
import random
import struct
from typing import Any

from streamflow.expressions.tree import FEATURE_TYPES

COLUMNS = {
    "i": ("Int32", "integer"),
    "j": ("Int32", "integer"),
    "b": ("Int64", "bigint"),
    "c": ("Int64", "bigint"),
    "f": ("Float32", "real"),
    "g": ("Float32", "real"),
    "d": ("Float64", "double precision"),
    "e": ("Float64", "double precision"),
    "t": ("Bool", "boolean"),
    "s": ("String", "text"),
    "r": ("String", "text"),
    "u": ("UnixTimestamp", "bigint"),
    "w": ("UnixTimestamp", "bigint"),
}
TYPES = {name: type_ for name, (type_, _) in COLUMNS.items()}
NAMES = {type_: [n for n, (t, _) in COLUMNS.items() if t == type_] for type_ in FEATURE_TYPES}
INF, NAN = math.inf, math.nan
SINGLES = [0.0, -0.0, 1.0, -2.5, 0.1, 1e38, -3e38, 1e-40, 16777217.0, INF, -INF, NAN]
DOUBLES = [*SINGLES, 1e300, -1e300, 1e-300, 5e-324, 0.5, 1.5, 2.5, 700.0, -745.0, 2.0**53, 1e19]
ODD: dict[str, list[Any]] = {
    "Int32": [0, 1, -1, 2, -7, 2**31 - 1, -(2**31)],
    "Int64": [0, 1, -1, 3, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**24 + 1, 2**60 + 2**36 + 1],
    "Float32": [struct.unpack("f", struct.pack("f", one))[0] for one in SINGLES],
    "Float64": DOUBLES,
    "Bool": [True, False],
    "String": ["", "a", "A", "ünï🙂", "it's", "  a", "true", "1"],
    "UnixTimestamp": [0, -1, 86_399, 86_400, 1_706_659_200, -62_135_596_800, 253_402_300_799],
}


class Writer:
    """Writes expressions at random, in the project's form and in PostgreSQL's."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, type_: str, depth: int) -> tuple[str, str]:
        """An expression of about this type."""
        choices = self.leaves(type_) if depth == 0 else [*self.leaves(type_), *self.parts(type_)]
        made = self.random.choice(choices if depth == 0 else choices[-6:] + choices[:1])
        return made(depth - 1)

    def leaves(self, type_: str) -> list[Any]:
        name = self.random.choice(NAMES[type_])
        return [lambda _: (name, name)]

    def number(self, depth: int) -> tuple[str, str]:
        if self.random.random() < 0.2:
            value = self.random.choice(["0", "1", "2", "7", "2147483648", "0.5", "1e3", "2.0"])
            is_float = "." in value or "e" in value
            return value, f"{value}::float8" if is_float else value
        return self.of(self.random.choice(["Int32", "Int64", "Float32", "Float64"]), depth)

    def parts(self, type_: str) -> list[Any]:
        def joined(form: str, *parts: tuple[str, str]) -> tuple[str, str]:
            return (form.format(*(one[0] for one in parts)), form.format(*(o[1] for o in parts)))

        def condition(depth: int) -> tuple[str, str]:
            return self.of("Bool", depth)

        def same(depth: int) -> tuple[str, str]:
            return self.of(type_, depth)

        pick = self.random.choice
        if type_ == "Bool":
            return [
                lambda d: joined(
                    f"({{}} {pick(['=', '<>', '<', '<=', '>', '>='])} {{}})",
                    self.of(pick(["Int32", "Int64", "Float32", "Float64"]), d),
                    self.number(d),
                ),
                lambda d: joined(f"({{}} {pick(['=', '<>'])} 'a')", self.of("String", d)),
                lambda d: joined("({} IS NULL)", self.number(d)),
                lambda d: joined(f"({{}} {pick(['AND', 'OR'])} {{}})", condition(d), condition(d)),
                lambda d: joined("(NOT {})", condition(d)),
                lambda d: joined("({} IS NOT TRUE)", condition(d)),
                lambda d: joined("({} IS DISTINCT FROM {})", self.of("Float64", d), self.number(d)),
                lambda d: joined("({} BETWEEN {} AND {})", *(self.of("Int64", d) for _ in "123")),
                lambda d: joined("({} IN ({}, 1, {}))", *(self.of("Float32", d) for _ in "123")),
                lambda d: joined("({} < {})", *(self.of("UnixTimestamp", d) for _ in "12")),
            ]
        if type_ in ("String", "UnixTimestamp"):
            casts = (
                []
                if type_ == "UnixTimestamp"
                else [
                    lambda d: joined(
                        "CAST({} AS text)", self.of(pick(["Int32", "Int64", "Bool"]), d)
                    )
                ]
            )
            return [
                *casts,
                lambda d: joined("COALESCE({}, {})", same(d), same(d)),
                lambda d: joined("NULLIF({}, {})", same(d), same(d)),
                lambda d: joined(
                    "CASE WHEN {} THEN {} ELSE {} END", condition(d), same(d), same(d)
                ),
            ]
        instants = [self.random.choice("uw") for _ in "12"]
        seconds = "extract({} FROM {} - {})".format(pick(["epoch", "day"]), *instants)
        asked = "extract(" + seconds.split("(")[1].split(" FROM")[0]
        pg = f"{asked} FROM to_timestamp({instants[0]}) - to_timestamp({instants[1]}))::float8"
        dates = [f"to_timestamp({one})::date" for one in instants]
        target = pick(["integer", "bigint", "real", "double precision"])
        function = pick(["round", "floor", "ceil", "ln", "exp", "sqrt", "abs"])
        return [
            lambda d: (seconds, pg),
            lambda d: (
                "(date({}) - CAST({} AS date))".format(*instants),
                "({} - {})".format(*dates),
            ),
            lambda d: joined("length({})", self.of("String", d)),
            lambda d: joined(f"CAST({{}} AS {target})", self.number(d)),
            lambda d: joined("(-{})", same(d)),
            lambda d: joined("({} % {})", self.of("Int32", d), self.of("Int64", d)),
            lambda d: joined("CASE {} WHEN {} THEN {} END", same(d), same(d), self.number(d)),
            lambda d: joined(
                "CASE WHEN {} THEN {} ELSE {} END", condition(d), same(d), self.number(d)
            ),
            lambda d: joined(
                f"{pick(['COALESCE', 'NULLIF'])}({{}}, {{}})", same(d), self.number(d)
            ),
            lambda d: joined(f"{pick(['GREATEST', 'LEAST'])}({{}}, {{}})", same(d), self.number(d)),
            lambda d: joined(f"{function}({{}})", self.of("Float64", d)),
            lambda d: joined(f"({{}} {pick('+-*/')} {{}})", same(d), self.number(d)),
            lambda d: joined(f"({{}} {pick('+-*/')} {{}})", self.number(d), same(d)),
        ]


def rows_at_random(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of odd and of ordinary values, a fifth of them null."""
    dice = random.Random(seed)
    ordinary = {
        "Int32": lambda: dice.randint(-50, 50),
        "Int64": lambda: dice.randint(-(2**40), 2**40),
        "Float32": lambda: struct.unpack("f", struct.pack("f", dice.uniform(-99, 99)))[0],
        "Float64": lambda: dice.uniform(-1e6, 1e6),
        "Bool": lambda: dice.random() < 0.5,
        "String": lambda: dice.choice("abc") * dice.randint(0, 3),
        "UnixTimestamp": lambda: dice.randint(0, 2**31),
    }

    def value(type_: str) -> Any:
        chance = dice.random()
        if chance < 0.2:
            return None
        return dice.choice(ODD[type_]) if chance < 0.6 else ordinary[type_]()  # type: ignore[no-untyped-call]

    return [{name: value(type_) for name, type_ in TYPES.items()} for _ in range(count)]


def same(a: Any, b: Any) -> bool:
    """True for the same bits; one NaN is as good as another."""
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack("d", a) == struct.pack("d", b)
    return type(a) is type(b) and bool(a == b)
