"""Checks the fields of a month's files, by pandera schemas over the text of the CSV.

Fields are checked as text, before anything converts them, so that a fault shows the value
as it stands in the file. What needs several rows or files at once (unique keys, known
users, labels) is checked by `jobs/ingest/load.py` where the rows are, in PostgreSQL.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import Fault
from streamflow.snapshots import KEY, Column, Snapshots

TEXT = pd.ArrowDtype(pa.string())
MAX_ID_LENGTH = 128
EARLIEST_DAY = date(1900, 1, 1)
FAULTS_KEPT = 1000
"""Faults of a month that are kept with its run; all are counted."""

SMALLEST_REAL = 1.2e-38
"""The smallest positive number that PostgreSQL's `real` holds with all its digits."""
SMALLEST_DOUBLE = 2.3e-308
"""The same for `double precision`."""

Accepts = Callable[[pa.Array], pa.Array]
Rules = pandera.Check | list[pandera.Check]


@dataclass
class Report:
    """The first faults by line, and the number of all."""

    first: list[Fault] = field(default_factory=list)
    total: int = 0

    def add(self, found: list[Fault], total: int | None = None) -> None:
        """Adds faults; where `found` is only the first of them, `total` is the number of all."""
        self.first = sorted(self.first + found, key=lambda fault: fault.line or 0)[:FAULTS_KEPT]
        self.total += len(found) if total is None else total


def rule(text: str, accepts: Accepts) -> pandera.Check:
    """A pandera check from a function over an Arrow array; `text` completes "must be …"."""

    def check(series: pd.Series) -> pd.Series:
        accepted = accepts(pa.array(series)).fill_null(False)
        return pd.Series(accepted.to_numpy(zero_copy_only=False), index=series.index)

    return pandera.Check(check, error=f"must be {text}")


def numbers(pattern: str, kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    """Parses the fields that match `pattern`; the others become null."""

    def parse(fields: pa.Array) -> pa.Array:
        matches = pc.match_substring_regex(fields, pattern)
        return pc.cast(pc.if_else(matches, fields, None), kind)

    return parse


def whole_number(low: int, high: int) -> pandera.Check:
    """A whole number in digits, within [low, high]."""
    parse = numbers(r"^-?[0-9]{1,18}$", pa.int64())

    def accepts(fields: pa.Array) -> pa.Array:
        value = parse(fields)
        return pc.and_(pc.greater_equal(value, low), pc.less_equal(value, high))

    return rule(f"a whole number from {low} to {high}", accepts)


def number(low: int, high: int, smallest: float = SMALLEST_REAL) -> list[pandera.Check]:
    """A finite decimal number within [low, high], no NaN, infinity or thousands separator.

    Args:
        smallest: the least that is not 0.
    """
    parse = numbers(r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$", pa.float64())

    def inside(fields: pa.Array) -> pa.Array:
        value = parse(fields)
        return pc.and_(pc.greater_equal(value, low), pc.less_equal(value, high))

    def storable(fields: pa.Array) -> pa.Array:
        value = parse(fields)
        tiny = pc.and_(pc.greater_equal(value, 0), pc.less(value, smallest)).fill_null(False)
        zero = pc.match_substring_regex(fields, r"^-?[0.]+([eE]|$)")
        return pc.or_(pc.invert(tiny), zero)

    return [
        rule(f"a number from {low} to {high}", inside),
        rule(f"0 or at least {smallest}", storable),
    ]


def one_of(*values: str) -> pandera.Check:
    """Exactly one of the texts `values`."""
    allowed = pa.array(values, pa.string())
    return rule(f"one of {', '.join(values)}", lambda fields: pc.is_in(fields, value_set=allowed))


def truth() -> pandera.Check:
    """True or False."""
    return one_of("True", "False")


def day(latest: date) -> pandera.Check:
    """An ISO calendar day, not after `latest`."""

    def accepts(fields: pa.Array) -> pa.Array:
        shaped = pc.match_substring_regex(fields, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
        days = pd.to_datetime(fields.to_pandas(), format="%Y-%m-%d", errors="coerce")
        inside = (days >= pd.Timestamp(EARLIEST_DAY)) & (days <= pd.Timestamp(latest))
        return pc.and_(shaped, pa.array(inside.to_numpy()))

    return rule(f"a day from {EARLIEST_DAY} to {latest} as YYYY-MM-DD", accepts)


def identifier() -> pandera.Check:
    """Any printable text of 1 to 128 characters without blanks around it."""
    around = r"[\pZ\p{Cf}]"  # blanks of all scripts, and invisible marks
    anywhere = r"[\p{Cc}\p{Zl}\p{Zp}\x{fffd}]"  # controls, line breaks, unreadable bytes
    strange = f"^{around}|{around}$|{anywhere}"

    def accepts(fields: pa.Array) -> pa.Array:
        fits = pc.less_equal(pc.utf8_length(fields), MAX_ID_LENGTH)
        return pc.and_(pc.invert(pc.match_substring_regex(fields, strange)), fits)

    return rule(f"1 to {MAX_ID_LENGTH} printable characters in UTF-8, no blanks around", accepts)


def schemas(declared: Snapshots, as_of: date) -> dict[str, pandera.DataFrameSchema]:
    """The files of a month, in the order they are loaded, each with its columns' rules.

    Args:
        as_of: the day the month describes; nothing in it may lie after that day.
    """
    return {
        one.file: pandera.DataFrameSchema(
            {KEY: pandera.Column(TEXT, identifier())}
            | {
                name: pandera.Column(TEXT, rules(column, as_of), nullable=column.nullable)
                for name, column in one.columns.items()
            },
            strict=True,
        )
        for one in declared.files
    }


def rules(column: Column, as_of: date) -> Rules:
    """The rules of a declared column's fields."""
    low, high = column.low or 0, column.high or 0
    match column.type:
        case "bigint":
            return whole_number(low, high)
        case "real":
            return number(low, high)
        case "double precision":
            return number(low, high, SMALLEST_DOUBLE)
        case "boolean":
            return truth()
        case "date":
            return day(as_of)
        case _:
            return one_of(*column.values)


def faults(schema: pandera.DataFrameSchema, file: str, rows: pd.DataFrame) -> Report:
    """Finds the fields of `rows` that break their rule, in order of line and column.

    Args:
        rows: one text column per field, empty fields null, indexed by line in the file.
    """
    report = Report()
    try:
        schema.validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        # Not error.failure_cases, which lists every fault of what may be a million lines.
        for one in error.schema_errors:
            cases = one.failure_cases.sort_values("index").head(FAULTS_KEPT)
            text = "must not be empty" if one.check == "not_nullable" else one.check.error
            found = [
                Fault(file, int(line), one.schema.name, None if pd.isna(value) else value, text)
                for line, value in zip(cases["index"], cases["failure_case"], strict=True)
            ]
            report.add(found, len(one.failure_cases))
    return report
