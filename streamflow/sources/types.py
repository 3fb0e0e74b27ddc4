"""The types of PostgreSQL from which a feature's value can be taken, and the SQL that takes it.

One table for training and serving, so that both have the same value: RULES, by Feast's value type
and PostgreSQL's type. A pair that is not in it is refused. docs/types.md shows it to people.
"""

from dataclasses import dataclass, replace

TEXTS = ("text", "character varying", "character", "name", '"char"')
INTEGERS = ("smallint", "integer", "bigint")
FRACTIONS = ("numeric", "real", "double precision")
TIMES = {"timestamp with time zone": "+00", "timestamp without time zone": "", "date": ""}
"""The types that hold instants, and how one of them names the zone; without one it is UTC."""
TEXT_FORMS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
}
"""PostgreSQL's settings on which the text of a value depends; the same in every session."""
ANY = "any type"
"""Stands in RULES for every type that is no array."""


@dataclass(frozen=True)
class Rule:
    """The way from values of one type to another; `{0}` in its SQL is the column's value."""

    value: str
    checks: tuple[tuple[str, str], ...] = ()
    """Conditions, as SQL, and what is said of a value for which one does not hold."""
    note: str = "as it is"
    """In a word or two, for people."""


def casts(kinds: tuple[str, ...], wanted: str, note: str = "as it is") -> dict[str, Rule]:
    """Rules of types whose every value has one in the type `wanted`."""
    return {kind: Rule(f"{{0}}::{wanted}", (), note) for kind in kinds}


def whole(kinds: tuple[str, ...], wanted: str, bits: int) -> dict[str, Rule]:
    """Rules of numbers that have to be whole, and to fit into an integer of so many bits."""
    low, above = -(2 ** (bits - 1)), 2 ** (bits - 1)
    found = {}
    for kind in kinds:
        fits = f"{{0}} >= '{low}'::{kind} AND {{0}} < '{above}'::{kind}"
        is_whole = "abs({0}) < 'Infinity' AND trunc({0}) = {0}"  # of NaN neither
        checks = [(fits, "is out of range")]
        if kind in FRACTIONS:
            checks.insert(0, (is_whole, "is no whole number"))
        found[kind] = Rule(f"{{0}}::{wanted}", tuple(checks), "if whole and in range")
    if "bigint" in found:
        found["bigint"] = replace(found["bigint"], note="if in range")
    return found


def nearest(kind: str, wanted: str, mantissa: int, exponent: int) -> Rule:
    """The rule of numbers that become the nearest float with so many bits.

    PostgreSQL refuses numbers that are too small for a float; their nearest one is zero.
    """
    above = f"'{2**exponent - 2 ** (exponent - mantissa - 1)}'::{kind}"
    tiny = "7.006492321624085e-46" if wanted == "real" else "2.4703282292062328e-324"
    fits = f"abs({{0}}) < {above} OR abs({{0}}) >= 'Infinity'"
    value = f"CASE WHEN abs({{0}}) <= '{tiny}'::{kind} THEN ({{0}} * 0)::{wanted}"
    return Rule(
        f"{value} ELSE {{0}}::{wanted} END",
        ((fits, "is out of range"),),
        "the nearest, if in range",
    )


def instants(rounding: str) -> dict[str, Rule]:
    """Rules of instants as whole seconds since 1970, cut off by the function `rounding`."""
    said = "is not in the years 1 to 9999"
    found = {}
    for kind, zone in TIMES.items():
        fits = f"{{0}} >= '0001-01-01{zone}'::{kind} AND {{0}} < '10000-01-01{zone}'::{kind}"
        value = f"{rounding}(extract(epoch FROM {{0}}))::bigint"
        found[kind] = Rule(value, ((fits, said),), "whole seconds")
    fits = "{0} >= -62135596800 AND {0} < 253402300800"
    return found | {
        kind: Rule("{0}::bigint", ((fits, said),), "as seconds since 1970")
        for kind in ("integer", "bigint")
    }


def parsed(kind: str, said: str) -> dict[str, Rule]:
    """Rules of texts that have to be what PostgreSQL's type `kind` reads, and are as it writes."""
    return {
        text: Rule(
            f"{{0}}::text::{kind}::text",
            ((f"pg_input_is_valid({{0}}::text, '{kind}')", said),),
            f"if a {said.removeprefix('is no ')}",
        )
        for text in TEXTS
    }


def objects(kind: str) -> dict[str, Rule]:
    """Rules of JSON as its text; it has to be of that kind, or the null of JSON, which is null."""
    article = "an" if kind in ("array", "object") else "a"
    said, note = f"is no JSON {kind}", f"if {article} {kind}"
    fits = "json_typeof({0}::text::json) IN ('null', '" + kind + "')"
    value = "CASE WHEN json_typeof({0}::text::json) <> 'null' THEN {0}::text END"
    found = {one: Rule(value, ((fits, said),), note) for one in ("json", "jsonb")}
    is_json = f"CASE WHEN {{0}}::text IS JSON THEN {fits} ELSE false END"
    return found | {one: Rule(value, ((is_json, said),), note) for one in TEXTS}


def arrays(kinds: tuple[str, ...]) -> dict[str, Rule]:
    """Rules of arrays as their JSON."""
    rule = Rule("array_to_json({0})::text", (), "as it is")
    return {f"{kind}[]": rule for kind in kinds}


JSON = casts(("json", "jsonb"), "text") | {
    text: Rule("{0}::text", (("{0}::text IS JSON", "is no JSON"),), "if JSON") for text in TEXTS
}
UUID = casts(("uuid",), "text") | parsed("uuid", "is no UUID")
NESTED = objects("array") | arrays((*INTEGERS, "real", "double precision", "boolean", *TEXTS))
SCALARS: dict[str, dict[str, Rule]] = {
    "INT32": casts(INTEGERS[:2], "integer") | whole(("bigint", *FRACTIONS), "integer", 32),
    "INT64": casts(INTEGERS, "bigint") | whole(FRACTIONS, "bigint", 64),
    "FLOAT": casts(("real", "smallint"), "real")
    | casts(("integer", "bigint"), "real", "the nearest")
    | {kind: nearest(kind, "real", 24, 128) for kind in ("double precision", "numeric")},
    "DOUBLE": casts(("double precision", "real", "smallint", "integer"), "double precision")
    | casts(("bigint",), "double precision", "the nearest")
    | {"numeric": nearest("numeric", "double precision", 53, 1024)},
    "BOOL": casts(("boolean",), "boolean"),
    "STRING": casts((ANY,), "text", "its text"),
    "BYTES": casts(("bytea",), "bytea"),
    "PDF_BYTES": casts(("bytea",), "bytea"),
    "IMAGE_BYTES": casts(("bytea",), "bytea"),
    "UNIX_TIMESTAMP": instants("floor"),
    "UUID": UUID,
    "TIME_UUID": UUID,
    "DECIMAL": casts(("numeric", *INTEGERS), "text") | parsed("numeric", "is no decimal number"),
    "JSON": JSON,
}
RULES: dict[str, dict[str, Rule]] = {
    **SCALARS,
    "ZONED_TIMESTAMP": {kind: rule for kind, rule in instants("floor").items() if kind in TIMES},
    "MAP": objects("object"),
    "STRUCT": objects("object"),
    "MAP_LIST": objects("array") | arrays(("json", "jsonb")),
    "STRUCT_LIST": objects("array") | arrays(("json", "jsonb")),
    "VALUE_LIST": NESTED,
    "VALUE_SET": NESTED,
    "SCALAR_MAP": {},
}
"""By Feast's value type. Of a list or set of scalars the element's are in SCALARS."""
# Feast cuts off single instants towards the year 1 and those of a list towards 1970.
ELEMENTS = SCALARS | {"UNIX_TIMESTAMP": instants("trunc")}


def rule_of(value_type: str, kind: str) -> Rule | None:
    """The rule of a type that is no list; None where the value cannot be taken."""
    own = RULES.get(value_type, {})
    return own.get(kind) or (None if kind.endswith("[]") else own.get(ANY))


def element_of(value_type: str, kind: str) -> Rule | None:
    """The rule of the elements of a list or set of scalars; None where there is none."""
    base = value_type.removesuffix("_LIST").removesuffix("_SET")
    if base == value_type or not kind.endswith("[]"):
        return None
    own = ELEMENTS.get(base, {})
    return own.get(kind.removesuffix("[]")) or own.get(ANY)
