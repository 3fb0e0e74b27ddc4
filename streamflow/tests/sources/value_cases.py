"""Values of PostgreSQL's types as features of Feast's: what each is, or why it is refused.

A case is a column's type, a value as PostgreSQL reads it, and the feature's value as Python has it;
or `Refused` with a part of what is said. Every cell also has a null.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeastType,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)


@dataclass(frozen=True)
class Refused:
    """A value that a feature of the type cannot have; the error says so in these words."""

    said: str


@dataclass(frozen=True)
class Never(Refused):
    """No value of the column's type can be had in a feature of the type."""

    said: str = "cannot be"


@dataclass(frozen=True)
class Parsed:
    """A value that is JSON text in training and an object in serving."""

    value: Any


NAN, INF = float("nan"), float("inf")
LOW, HIGH = -(2**63), 2**63 - 1
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
LONG = "ü🎬" * 50_000
TYPES = """
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE DOMAIN small AS smallint;
    CREATE DOMAIN smaller AS small CHECK (VALUE < 100);
    CREATE DOMAIN ids AS bigint[];
    CREATE TYPE pair AS (a integer, b text);
"""


def day(*at: int) -> datetime:
    """An instant in UTC."""
    return datetime(*at, tzinfo=UTC)  # type: ignore[misc,arg-type]


WHOLE: list[tuple[str, str, Any]] = [
    ("smallint", "-32768", -32768),
    ("integer", "2147483647", 2**31 - 1),
    ("small", "7", 7),
    ("smaller", "8", 8),
    ("numeric", "7.000", 7),
    ("numeric", "0.5", Refused("no whole number")),
    ("numeric", "NaN", Refused("no whole number")),
    ("numeric", "Infinity", Refused("no whole number")),
    ("real", "16777216", 2**24),
    ("real", "0.5", Refused("no whole number")),
    ("real", "NaN", Refused("no whole number")),
    ("double precision", "-0", 0),
    ("double precision", "0.5", Refused("no whole number")),
    ("double precision", "1e300", Refused("out of range")),
    ("double precision", "NaN", Refused("no whole number")),
    ("double precision", "-Infinity", Refused("no whole number")),
]
INSTANTS: list[tuple[str, str, Any]] = [
    ("timestamptz", "2024-05-06 07:08:09.9Z", day(2024, 5, 6, 7, 8, 9)),
    ("timestamptz", "1969-12-31 23:59:58Z", day(1969, 12, 31, 23, 59, 58)),
    ("timestamptz", "0001-01-01 00:00:00Z", day(1, 1, 1)),
    ("timestamptz", "9999-12-31 23:59:59.999999Z", day(9999, 12, 31, 23, 59, 59)),
    ("timestamptz", "10000-01-01 00:00:00Z", Refused("years 1 to 9999")),
    ("timestamptz", "0001-12-31 00:00:00Z BC", Refused("years 1 to 9999")),
    ("timestamptz", "infinity", Refused("years 1 to 9999")),
    ("timestamptz", "-infinity", Refused("years 1 to 9999")),
    ("timestamptz(0)", "2024-05-06 07:08:09.4Z", day(2024, 5, 6, 7, 8, 9)),
    ("timestamp", "2024-05-06 07:08:09", day(2024, 5, 6, 7, 8, 9)),
    ("timestamp", "infinity", Refused("years 1 to 9999")),
    ("date", "2024-02-29", day(2024, 2, 29)),
    ("date", "0001-01-01", day(1, 1, 1)),
    ("date", "infinity", Refused("years 1 to 9999")),
    ("date", "0044-03-15 BC", Refused("years 1 to 9999")),
]
FRACTION = ("timestamptz", "1969-12-31 23:59:59.5Z")
UUIDS: list[tuple[str, str, Any]] = [
    ("uuid", UUID.upper(), UUID),
    ("text", UUID.upper(), UUID),
    ("varchar(40)", UUID, UUID),
    ("text", "nope", Refused("no UUID")),
    ("text", "", Refused("no UUID")),
]
OBJECT = {"a": 1, "b": None, "c": [1, None], "d": {"e": []}, "f": 0.1, "g": [1, "x", [True]]}
TEXT = '{"a":1,  "b":null, "c":[1,null], "d":{"e":[]}, "f":0.1, "g":[1,"x",[true]]}'
OBJECTS: list[tuple[str, str, Any]] = [
    ("jsonb", TEXT, Parsed(OBJECT)),
    ("jsonb", "{}", Parsed({})),
    ("jsonb", "null", None),
    ("jsonb", '{"x": 9223372036854775807}', Parsed({"x": HIGH})),
    ("jsonb", '{"x": 9223372036854775808}', Refused("out of range")),
    ("jsonb", '{"x": [1, 9223372036854775808]}', Refused("out of range")),
    ("jsonb", '{"x": 1e400}', Refused("out of range")),
    ("jsonb", "[1]", Refused("no JSON object")),
    ("jsonb", '"x"', Refused("no JSON object")),
    ("json", TEXT, Parsed(OBJECT)),
    ("json", '{"a": 1, "a": 2}', Parsed({"a": 2})),
    ("json", '{"a": "\\u0000"}', Parsed({"a": "\0"})),
    ("text", TEXT, Parsed(OBJECT)),
    ("text", "{", Refused("no JSON object")),
    ("text", "", Refused("no JSON object")),
]
LISTED: list[tuple[str, str, Any]] = [
    ("jsonb", '[{"a": [1, null]}, {}]', Parsed([{"a": [1, None]}, {}])),
    ("jsonb", "[]", Parsed([])),
    ("jsonb", "[1]", Refused("no list of JSON objects")),
    ("jsonb", "[null]", Refused("no list of JSON objects")),
    ("jsonb", "{}", Refused("no JSON array")),
    ("jsonb[]", """{"{\\"a\\": 1}"}""", Parsed([{"a": 1}])),
    ("jsonb[]", "{}", Parsed([])),
    ("jsonb[]", "{NULL}", Refused("no list of JSON objects")),
    ("json[]", """{"{\\"a\\": 1}"}""", Parsed([{"a": 1}])),
    ("text", '[{"a": 1}]', Parsed([{"a": 1}])),
    ("json", '[{"a": 1,"a":2}]', Parsed([{"a": 2}])),
]
FORMS: list[tuple[str, Any]] = [
    ("{NULL}", Refused("null element")),
    ("{{1,2},{3,4}}", Refused("more than one dimension")),
    ("{}", []),
]
"""Forms of an array of numbers besides its values, each with the expected result."""

CASES: dict[str, tuple[FeastType, list[tuple[str, str, Any]]]] = {
    "int64": (
        Int64,
        [
            *WHOLE,
            ("bigint", str(LOW), LOW),
            ("bigint", str(HIGH), HIGH),
            ("bigint", "9007199254740993", 2**53 + 1),
            ("numeric", "9007199254740993", 2**53 + 1),
            ("numeric", str(HIGH), HIGH),
            ("numeric", str(HIGH + 1), Refused("out of range")),
            ("double precision", str(LOW), LOW),
            ("double precision", str(HIGH + 1), Refused("out of range")),
            ("boolean", "t", Never()),
            ("text", "1", Never()),
            ("money", "1", Never()),
            ("interval", "1 s", Never()),
            ("timestamptz", "2024-01-01Z", Never()),
            ("bigint[]", "{1}", Never()),
            ("jsonb", "1", Never()),
        ],
    ),
    "int32": (
        Int32,
        [
            *WHOLE,
            ("bigint", str(2**31 - 1), 2**31 - 1),
            ("bigint", str(2**31), Refused("out of range")),
            ("bigint", str(-(2**31)), -(2**31)),
            ("numeric", str(2**31), Refused("out of range")),
            ("double precision", str(2**31), Refused("out of range")),
            ("real", str(2**31), Refused("out of range")),
        ],
    ),
    "float32": (
        Float32,
        [
            ("real", "0.1", 0.10000000149011612),
            ("real", "-0", -0.0),
            ("real", "1e-45", 1.401298464324817e-45),
            ("real", "3.4028235e38", 3.4028234663852886e38),
            ("real", "NaN", NAN),
            ("real", "-nan", -NAN),
            ("real", "-Infinity", -INF),
            ("double precision", "0.1", 0.10000000149011612),
            ("double precision", "16777217", 16777216.0),
            ("double precision", "1e-50", 0.0),
            ("double precision", "-1e-300", -0.0),
            ("double precision", "7.1e-46", 1.401298464324817e-45),
            ("double precision", "3.40282356e38", 3.4028234663852886e38),
            ("double precision", "Infinity", INF),
            ("double precision", "NaN", NAN),
            ("double precision", "1e300", Refused("out of range")),
            ("double precision", "-3.4028236e38", Refused("out of range")),
            ("smallint", "3", 3.0),
            ("integer", "16777217", 16777216.0),
            ("bigint", str(HIGH), 2.0**63),
            ("numeric", "0.1", 0.10000000149011612),
            ("numeric", "1e-60", 0.0),
            ("numeric", "NaN", NAN),
            ("numeric", "1e39", Refused("out of range")),
        ],
    ),
    "float64": (
        Float64,
        [
            ("double precision", "0.1", 0.1),
            ("double precision", "-0", -0.0),
            ("double precision", "5e-324", 5e-324),
            ("double precision", "1.7976931348623157e308", 1.7976931348623157e308),
            ("double precision", "nan(0x123)", NAN),
            ("double precision", "-nan", -NAN),
            ("double precision", "-Infinity", -INF),
            ("real", "0.1", 0.10000000149011612),
            ("real", "1e-45", 1.401298464324817e-45),
            ("smallint", "3", 3.0),
            ("integer", "-2147483648", -(2.0**31)),
            ("bigint", "9007199254740993", 2.0**53),
            ("numeric", "0.1", 0.1),
            ("numeric", "1e-400", 0.0),
            ("numeric", "-1e-400", 0.0),
            ("numeric", "Infinity", INF),
            ("numeric(5,2)", "1.255", 1.26),
            ("numeric", "1e309", Refused("out of range")),
        ],
    ),
    "bool": (
        Bool,
        [
            ("boolean", "t", True),
            ("boolean", "f", False),
            ("integer", "1", Never()),
            ("text", "t", Never()),
        ],
    ),
    "string": (
        String,
        [
            ("text", "", ""),
            ("text", " ", " "),
            ("text", "ü🎬\n\t\\N", "ü🎬\n\t\\N"),
            ("text", "NULL", "NULL"),
            ("text", LONG, LONG),
            ("varchar(5)", "ab ", "ab "),
            ("char(3)", "ab", "ab"),
            ("char(3)", "", ""),
            ("char(3)", " a", " a"),
            ("name", "n", "n"),
            ('"char"', "c", "c"),
            ("uuid", UUID.upper(), UUID),
            ("mood", "sad", "sad"),
            ("smallint", "-5", "-5"),
            ("integer", "-5", "-5"),
            ("bigint", str(LOW), str(LOW)),
            ("small", "7", "7"),
            ("numeric", "1.10", "1.10"),
            ("numeric", "NaN", "NaN"),
            ("real", "0.1", "0.1"),
            ("double precision", "1e300", "1e+300"),
            ("boolean", "t", "true"),
            ("date", "2024-01-31", "2024-01-31"),
            ("date", "infinity", "infinity"),
            ("timestamp", "2024-01-31 01:02:03.5", "2024-01-31 01:02:03.5"),
            ("timestamptz", "2024-01-31 01:02:03.5-05", "2024-01-31 06:02:03.5+00"),
            ("time", "01:02:03.000001", "01:02:03.000001"),
            ("timetz", "01:02:03+01", "01:02:03+01"),
            ("interval", "1 mon 2 days 03:04:05", "1 mon 2 days 03:04:05"),
            ("inet", "10.0.0.1/8", "10.0.0.1/8"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/8"),
            ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
            ("money", "1234.5", "$1,234.50"),
            ("json", ' {"b": 1,"a" :2}', ' {"b": 1,"a" :2}'),
            ("jsonb", ' {"b": 1,"a" :2}', '{"a": 2, "b": 1}'),
            ("bit(3)", "101", "101"),
            ("varbit", "1", "1"),
            ("bytea", "\\x00ff", "\\x00ff"),
            ("int4range", "[1,5]", "[1,6)"),
            ("pair", "(1,x)", "(1,x)"),
            ("point", "(1,2)", "(1,2)"),
            ("text[]", "{a}", Never()),
        ],
    ),
    "bytes": (
        Bytes,
        [("bytea", "\\x00ff", b"\0\xff"), ("bytea", "\\x", b""), ("text", "a", Never())],
    ),
    "pdf": (PdfBytes, [("bytea", "\\x255044", b"%PD")]),
    "image": (ImageBytes, [("bytea", "\\x89", b"\x89")]),
    "instant": (
        UnixTimestamp,
        [
            *INSTANTS,
            (*FRACTION, day(1969, 12, 31, 23, 59, 59)),
            ("bigint", "1700000000", day(2023, 11, 14, 22, 13, 20)),
            ("bigint", "-1", day(1969, 12, 31, 23, 59, 59)),
            ("bigint", str(10**15), Refused("years 1 to 9999")),
            ("bigint", str(LOW), Refused("years 1 to 9999")),
            ("integer", "0", day(1970, 1, 1)),
            ("time", "01:02:03", Never()),
            ("timetz", "01:02:03Z", Never()),
            ("double precision", "0", Never()),
            ("text", "2024-01-01", Never()),
        ],
    ),
    "zoned": (ZonedTimestamp, [*INSTANTS, (*FRACTION, day(1969, 12, 31, 23, 59, 59))]),
    "uuid": (Uuid, UUIDS),
    "time_uuid": (TimeUuid, UUIDS),
    "decimal": (
        Decimal,
        [
            ("numeric", "1.10", "1.10"),
            ("numeric", "-0.00", "0.00"),
            ("numeric", "NaN", "NaN"),
            ("numeric", "-Infinity", "-Infinity"),
            ("numeric", "1e100", "1" + "0" * 100),
            ("numeric(5,2)", "1.255", "1.26"),
            ("bigint", str(LOW), str(LOW)),
            ("integer", "5", "5"),
            ("smallint", "5", "5"),
            ("text", " 1.10 ", "1.10"),
            ("text", "1e5", "100000"),
            ("text", "0x10", "16"),
            ("text", "x", Refused("no decimal number")),
            ("double precision", "0.1", Never()),
        ],
    ),
    "json": (
        Json,
        [
            ("json", ' {"b":1, "a":[1, null]}', ' {"b":1, "a":[1, null]}'),
            ("json", "null", "null"),
            ("jsonb", '{"b":1, "a":[1, null]}', '{"a": [1, null], "b": 1}'),
            ("jsonb", "1e400", "1" + "0" * 400),
            ("jsonb", "[18446744073709551617]", "[18446744073709551617]"),
            ("text", "[1]", "[1]"),
            ("text", "{", Refused("no JSON")),
        ],
    ),
    "map": (Map, [*OBJECTS, ("pair", "(1,x)", Never()), ("jsonb[]", "{}", Never())]),
    "struct": (Struct({"x": Int64, "y": String}), OBJECTS),
    "maps": (Array(Map), LISTED),
    "structs": (Array(Struct({"x": Int64})), LISTED),
    "scalar_map": (ScalarMap, [("jsonb", '{"1": 2}', Never())]),
    "int64s": (
        Array(Int64),
        [
            ("bigint[]", f"{{{LOW},{HIGH}}}", [LOW, HIGH]),
            ("bigint[]", "[5:6]={1,2}", [1, 2]),
            ("ids", "{1,2}", [1, 2]),
            *(("bigint[]", *form) for form in FORMS),
            ("smallint[]", "{1}", [1]),
            ("small[]", "{1}", [1]),
            ("integer[]", "{1,NULL,3}", Refused("null element")),
            ("numeric[]", "{9007199254740993}", [2**53 + 1]),
            ("numeric[]", "{1,0.5}", Refused("no whole number")),
            *(("numeric[]", *form) for form in FORMS),
            ("bigint", "1", Never()),
            ("text[]", "{1}", Never()),
            ("jsonb", "[1]", Never()),
        ],
    ),
    "int32s": (
        Array(Int32),
        [
            ("integer[]", "{-2147483648}", [-(2**31)]),
            ("bigint[]", "{5}", [5]),
            ("bigint[]", "{2147483648}", Refused("out of range")),
            *(("bigint[]", *form) for form in FORMS),
        ],
    ),
    "float32s": (
        Array(Float32),
        [
            (
                "real[]",
                "{0.1,-0,NaN,1e-45}",
                [0.10000000149011612, -0.0, NAN, 1.401298464324817e-45],
            ),
            *(("real[]", *form) for form in FORMS),
            ("double precision[]", "{0.1,1e-50,-Infinity}", [0.10000000149011612, 0.0, -INF]),
            ("double precision[]", "{0.1,1e300}", Refused("out of range")),
            *(("double precision[]", *form) for form in FORMS),
            ("numeric[]", "{0.1}", [0.10000000149011612]),
        ],
    ),
    "float64s": (
        Array(Float64),
        [
            ("double precision[]", "{0.1,-nan,5e-324}", [0.1, -NAN, 5e-324]),
            *(("double precision[]", *form) for form in FORMS),
            ("real[]", "{0.1}", [0.10000000149011612]),
            ("integer[]", "{1}", [1.0]),
            ("numeric[]", "{0.1,NaN}", [0.1, NAN]),
        ],
    ),
    "bools": (
        Array(Bool),
        [
            ("boolean[]", "{t,f}", [True, False]),
            ("boolean[]", "{t,NULL}", Refused("null element")),
            ("boolean[]", "{}", []),
        ],
    ),
    "strings": (
        Array(String),
        [
            ("text[]", '{"a,b","","NULL","\\\\"}', ["a,b", "", "NULL", "\\"]),
            *(("text[]", *form) for form in FORMS),
            ("varchar(3)[]", '{"a "}', ["a "]),
            ("char(3)[]", "{ab}", ["ab"]),
            ("name[]", "{n}", ["n"]),
            ("mood[]", "{sad,glad}", ["sad", "glad"]),
            ("uuid[]", f"{{{UUID}}}", [UUID]),
            ("integer[]", "{1}", ["1"]),
            ("date[]", "{2024-01-31}", ["2024-01-31"]),
            ("json[]", '{"{}",NULL}', Refused("null element")),
        ],
    ),
    "contents": (
        Array(Bytes),
        [
            ("bytea[]", '{"\\\\x00ff","\\\\x"}', [b"\0\xff", b""]),
            ("bytea[]", "{NULL}", Refused("null element")),
        ],
    ),
    "instants": (
        Array(UnixTimestamp),
        [
            ("timestamptz[]", '{"2024-05-06 07:08:09.9Z"}', [day(2024, 5, 6, 7, 8, 9)]),
            # Feast cuts off the elements of a list towards 1970, and single instants towards 0001.
            ("timestamptz[]", '{"1969-12-31 23:59:58.5Z"}', [day(1969, 12, 31, 23, 59, 59)]),
            ("timestamptz[]", "{infinity}", Refused("years 1 to 9999")),
            ("timestamptz[]", "{}", []),
            ("timestamptz[]", "{NULL}", Refused("null element")),
            ("timestamp[]", '{"2024-05-06 07:08:09"}', [day(2024, 5, 6, 7, 8, 9)]),
            ("date[]", "{2024-02-29}", [day(2024, 2, 29)]),
            ("bigint[]", "{0}", [day(1970, 1, 1)]),
        ],
    ),
    "uuids": (
        Array(Uuid),
        [
            ("uuid[]", f"{{{UUID}}}", [UUID]),
            ("text[]", f"{{{UUID.upper()}}}", [UUID]),
            ("text[]", "{nope}", Refused("no UUID")),
            ("uuid[]", "{NULL}", Refused("null element")),
        ],
    ),
    "decimals": (
        Array(Decimal),
        [
            ("numeric[]", "{1.10,NaN}", ["1.10", "NaN"]),
            ("numeric[]", "{NULL}", Refused("null element")),
            ("text[]", "{1.10}", ["1.10"]),
        ],
    ),
    "jsons": (
        Array(Json),
        [
            ("json[]", '{" [1]","null"}', [" [1]", "null"]),
            ("jsonb[]", '{"{\\"a\\":1}"}', ['{"a": 1}']),
            ("text[]", "{1}", ["1"]),
            ("text[]", '{"{"}', Refused("no JSON")),
        ],
    ),
    "lists": (
        Array(Array(Int64)),
        [
            ("jsonb", "[[1, 2], [], null, [null]]", Parsed([[1, 2], [], None, [None]])),
            ("jsonb", "[[0.5]]", Refused("no whole number")),
            ("jsonb", '[["x"]]', Refused("no whole number")),
            ("jsonb", "[1]", Refused("no list")),
            ("jsonb", "[[[1]]]", Refused("no whole number")),
            ("bigint[]", f"{{{{{LOW},{HIGH}}}}}", Parsed([[LOW, HIGH]])),
            ("bigint[]", "{{1,NULL},{3,4}}", Parsed([[1, None], [3, 4]])),
            ("bigint[]", "{1,2}", Refused("no list")),
            ("bigint[]", "{}", Parsed([])),
            ("integer[]", "{{1}}", Parsed([[1]])),
            ("smallint[]", "{{1}}", Parsed([[1]])),
            ("text", "[[1]]", Parsed([[1]])),
            ("json", "[ [1]]", Parsed([[1]])),
        ],
    ),
    "more_floats": (
        Array(Array(Float32)),
        [
            ("real[]", "{{0.1,NULL}}", Parsed([[0.1, None]])),
            ("double precision[]", "{{0.1}}", Parsed([[0.1]])),
        ],
    ),
    "set_of_lists": (
        Set(Array(Int64)),
        [
            *((f"{kind}[]", "{{1},{2}}", Parsed([[1], [2]])) for kind in ("smallint", "integer")),
            ("bigint[]", "{{1},{2}}", Parsed([[1], [2]])),
            ("real[]", "{{1.5}}", Refused("no whole number")),
            ("real[]", "{{2}}", Parsed([[2]])),
            ("json", "[[1]]", Parsed([[1]])),
            ("text", "[[1]]", Parsed([[1]])),
        ],
    ),
    "set_of_bools": (Set(Array(Bool)), [("boolean[]", "{{t}}", Parsed([[True]]))]),
    "set_of_texts": (Set(Set(String)), [("text[]", "{{t}}", Parsed([["t"]]))]),
    "lists_of_texts": (
        Array(Set(String)),
        [
            ("jsonb", '[["a", "b"], []]', Parsed([["a", "b"], []])),
            ("jsonb", "[[1]]", Refused("no text")),
            ("text[]", "{{a,b}}", Parsed([["a", "b"]])),
        ],
    ),
    "lists_of_floats": (
        Set(Array(Float64)),
        [
            ("jsonb", "[[0.1, 1, 1e-300]]", Parsed([[0.1, 1, 1e-300]])),
            ("jsonb", "[[1e300]]", Refused("out of range")),  # a whole number in jsonb
            (
                "double precision[]",
                "{{0.1,0.5},{1e300,5e-324}}",
                Parsed([[0.1, 0.5], [1e300, 5e-324]]),
            ),
            ("double precision[]", "{{NaN}}", Refused("no number")),
            ("bytea[]", "{{a}}", Never()),
        ],
    ),
    "deep": (
        Array(Array(Array(Bool))),
        [("boolean[]", "{{{t},{f}}}", Parsed([[[True], [False]]]))],
    ),
    "int64_set": (
        Set(Int64),
        [("bigint[]", "{1,2}", {1, 2}), ("bigint[]", "{NULL}", Refused("null element"))],
    ),
    "int32_set": (Set(Int32), [("integer[]", "{1,2}", {1, 2})]),
    "float32_set": (Set(Float32), [("real[]", "{0.1}", {0.10000000149011612})]),
    "float64_set": (Set(Float64), [("double precision[]", "{0.1,5e-324}", {0.1, 5e-324})]),
    "bool_set": (Set(Bool), [("boolean[]", "{t}", {True})]),
    "string_set": (Set(String), [("text[]", '{a,""}', {"a", ""}), ("text[]", "{}", set())]),
    "bytes_set": (Set(Bytes), [("bytea[]", '{"\\\\x00"}', {b"\0"})]),
    "instant_set": (Set(UnixTimestamp), [("timestamptz[]", "{1970-01-01Z}", {day(1970, 1, 1)})]),
    "uuid_set": (Set(Uuid), [("uuid[]", f"{{{UUID}}}", {UUID})]),
    "time_uuid_set": (Set(TimeUuid), [("uuid[]", f"{{{UUID}}}", {UUID})]),
    "time_uuids": (Array(TimeUuid), [("uuid[]", f"{{{UUID}}}", [UUID])]),
    "decimal_set": (Set(Decimal), [("numeric[]", "{1.10}", {"1.10"})]),
}
"""By the name of a view: the type of its features and the cases."""
