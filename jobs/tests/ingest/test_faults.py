"""A month with faults is refused: each is named exactly, and the database stays as it was."""

import errno
import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobs.ingest import read
from jobs.ingest.check import schemas
from jobs.ingest.load import ingest
from jobs.run.earlier_runs import recent
from jobs.run.ledger import recorded
from jobs.run.result import Run
from jobs.tests.acting import DECLARED, TABLES
from streamflow.errors import Fault, InputRefused
from streamflow.postgres.connect import connect

JANUARY = date(2024, 1, 31)
COLUMNS = {name: list(schema.columns) for name, schema in schemas(DECLARED, JANUARY).items()}
IDENTIFIER = "must be 1 to 128 printable characters in UTF-8, no blanks around"
TRUTH = "must be one of True, False"
DAY = "must be a day from 1900-01-01 to 2024-01-31 as YYYY-MM-DD"
FEE = "must be a number from 0 to 1000"
TINY = "must be 0 or at least 1.2e-38"
MONTHS = "must be a whole number from 0 to 1200"
QUOTE = "a quote must enclose a whole field and be doubled inside it"
CUT_OFF = "the last line has no line end, the file may be cut off there"


class Month:
    """A copy of January, to be spoiled. Lines count as in an editor, the header is 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def lines(self, name: str) -> list[str]:
        return self.path(name).read_bytes().decode().split("\n")

    def write(self, name: str, lines: list[str]) -> None:
        self.path(name).write_bytes("\n".join(lines).encode())

    def edit(self, name: str, change: Callable[[list[str]], object]) -> None:
        lines = self.lines(name)
        change(lines)
        self.write(name, lines)

    def set(self, name: str, line: int, column: str, raw: str) -> None:
        """Writes `raw`, quoted or not, in place of one field."""
        lines = self.lines(name)
        fields = lines[line - 1].split(",")
        fields[COLUMNS[name].index(column)] = raw
        lines[line - 1] = ",".join(fields)
        self.write(name, lines)

    def user(self, line: int) -> str:
        return self.lines("users")[line - 1].split(",")[0]

    def rename(self, line: int, raw: str) -> None:
        """The user of a line of users.csv is `raw` in all six files, on the same line."""
        for name in TABLES:
            self.set(name, line, "user_id", raw)


@pytest.fixture(scope="module")
def stocked(server: dict[str, str], template: str, small_months: Path) -> Iterator[None]:
    """A database for all tests here, with January loaded; none of them may change it."""
    name = f"{template}_stocked"
    where = {"host": server["PGHOST"], "port": server["PGPORT"], "user": server["PGUSER"]}
    with (
        psycopg.connect(**where, dbname="postgres", autocommit=True) as admin,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        for variable, value in {**server, "PGDATABASE": name}.items():
            monkeypatch.setenv(variable, value)
        with recorded("ingest") as run:
            ingest(run, small_months / "month_000", JANUARY)
        yield
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def month(stocked: None, small_months: Path, tmp_path: Path) -> Month:
    return Month(Path(shutil.copytree(small_months / "month_000", tmp_path / "copy")))


def contents() -> list[tuple[int, str]]:
    """Each source table's number of rows and a hash over all of them, loaded_at included."""
    query = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM source."
    with connect() as connection:
        return [connection.execute(f"{query}{table} AS t").fetchone() for table in TABLES.values()]


def load(month: Month) -> Run:
    with recorded("ingest") as run:
        ingest(run, month.folder, JANUARY)
    return run


def refused(month: Month) -> InputRefused:
    """The refusal of `month`, which changed nothing and is in the ledger."""
    before = contents()
    with pytest.raises(InputRefused) as raised:
        load(month)
    assert contents() == before
    run = recent(1)[0]
    assert (run["outcome"], run["refused"]) == ("refused", raised.value.total)
    assert (run["written"], run["late"], run["unchanged"]) == (0, 0, 0)
    assert len(raised.value.faults) == min(1000, raised.value.total)
    with connect() as connection:
        query = "SELECT faults FROM ops.runs ORDER BY run DESC LIMIT 1"
        [(kept,)] = connection.execute(query).fetchall()
    places = [(one.file, one.line, one.column, one.rule) for one in raised.value.faults]
    assert [(one["file"], one["line"], one["column"], one["rule"]) for one in kept] == places
    return raised.value


def only_fault(month: Month) -> Fault:
    error = refused(month)
    assert error.total == 1, error.faults
    return error.faults[0]


# ---- how a file may be written


def with_bom(text: bytes) -> bytes:
    return b"\xef\xbb\xbf" + text


def with_crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


def with_blank_lines(text: bytes) -> bytes:
    return b"\n\r\n" + text.replace(b"\n", b"\n\n\n") + b"\n"


def quoted(text: bytes) -> bytes:
    return b"".join(b'"%s"\n' % line.replace(b",", b'","') for line in text.splitlines())


def half_quoted(text: bytes) -> bytes:
    pairs = zip(text.splitlines(), quoted(text).splitlines(), strict=True)
    return b"".join(pair[at % 3 == 0] + b"\n" for at, pair in enumerate(pairs))


def reordered(text: bytes) -> bytes:
    return b"".join(b",".join(reversed(line.split(b","))) + b"\n" for line in text.splitlines())


def upside_down(text: bytes) -> bytes:
    header, *rows = text.splitlines(keepends=True)
    return b"".join([header, *reversed(rows)])


@pytest.mark.parametrize(
    "written",
    [
        [bytes],
        [with_bom],
        [with_crlf],
        [with_crlf, with_bom],
        [with_blank_lines],
        [quoted],
        [half_quoted],
        [quoted, with_crlf, with_bom],
        [reordered],
        [reordered, half_quoted],
        [upside_down],
    ],
    ids=lambda steps: "+".join(step.__name__ for step in steps),
)
def test_the_same_month_written_otherwise_changes_nothing(month, written):
    before = contents()
    for name in TABLES:
        for step in written:
            month.path(name).write_bytes(step(month.path(name).read_bytes()))
    run = load(month)
    assert (run.counts.read, run.counts.written, run.counts.unchanged) == (300, 0, 300)
    assert contents() == before


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 47, 400])
def test_where_a_block_ends_does_not_matter(month, monkeypatch, block_bytes):
    before = contents()
    monkeypatch.setattr(read, "BLOCK_BYTES", block_bytes)
    for name in TABLES:
        text = "\n".join(month.lines(name)[:6]).encode() + b"\n"
        month.path(name).write_bytes(with_bom(with_blank_lines(with_crlf(half_quoted(text)))))
    assert load(month).counts.unchanged == 30
    assert contents() == before


# ---- whole files


@pytest.mark.parametrize("name", TABLES)
def test_missing_file(month, name):
    month.path(name).unlink()
    assert only_fault(month) == Fault(f"{name}.csv", None, None, None, "the file is missing")


def test_empty_folder_misses_six_files(month):
    shutil.rmtree(month.folder)
    month.folder.mkdir()
    error = refused(month)
    assert [fault.file for fault in error.faults] == [f"{name}.csv" for name in TABLES]
    assert {fault.rule for fault in error.faults} == {"the file is missing"}
    assert str(error) == "6 faults, nothing was stored"


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf", b"\n", b"\r\n\n", b"\xef\xbb\xbf\n"])
def test_empty_file(month, text):
    month.path("users").write_bytes(text)
    assert only_fault(month) == Fault("users.csv", None, None, None, "the file is empty")


@pytest.mark.parametrize("name", ["users", "usage_agg_30d", "labels"])
def test_header_only(month, name):
    month.edit(name, lambda lines: lines.__setitem__(slice(1, -1), []))
    rule = "the file has a header and no rows"
    assert only_fault(month) == Fault(f"{name}.csv", None, None, None, rule)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_something_else_in_place_of_a_file(month, make):
    month.path("usage_agg_30d").unlink()
    make(month.path("usage_agg_30d"))
    rule = "must be a file, is a folder or a device"
    assert only_fault(month) == Fault("usage_agg_30d.csv", None, None, None, rule)


@pytest.mark.parametrize(
    ("link", "rule"),
    [
        ("nowhere", "the file is missing"),
        ("labels.csv", "the file cannot be read: Too many levels of symbolic links"),
    ],
)
def test_link_that_leads_nowhere(month, link, rule):
    month.path("labels").unlink()
    month.path("labels").symlink_to(link)
    assert only_fault(month) == Fault("labels.csv", None, None, None, rule)


def test_file_that_may_not_be_read(month, monkeypatch):
    real = Path.open

    def refuse(path: Path, mode: str = "r", **options: Any) -> Any:
        if path.name == "labels.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, mode, **options)

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    rule = "the file cannot be read: Permission denied"
    assert only_fault(month) == Fault("labels.csv", None, None, None, rule)


@pytest.mark.parametrize(
    "garbled",
    [
        lambda text: text.decode().encode("utf-16"),
        lambda text: text.decode().encode("utf-16-be"),
        lambda text: gzip.compress(text, mtime=0),
        lambda text: b"PK\x03\x04" + bytes(range(256)) * 20,
        lambda text: b"\xef\xbb\xbf\xef\xbb\xbf" + text.replace(b",", b"\t"),
        lambda text: text.replace(b",", b";"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.split(b"\n", 1)[1],
        lambda text: b'"' + text,
        lambda text: b"\0" * 5000 + b"\n",
        lambda text: b"\n" + b"x" * 39_999 + b"\n",
    ],
    ids=[
        *("utf-16", "utf-16-be", "gzip", "zip", "tabs", "semicolons", "cr"),
        *("headerless", "quote", "nul", "long"),
    ],
)
def test_something_else_in_place_of_the_header(month, garbled):
    month.path("labels").write_bytes(garbled(month.path("labels").read_bytes()))
    fault = refused(month).faults[-1]
    assert (fault.file, fault.column) == ("labels.csv", None)
    assert fault.rule == "must be the header user_id,churn_label, in UTF-8"
    assert fault.value
    assert len(str(fault)) < 200


def test_file_of_a_single_endless_line(month):
    month.path("users").write_bytes(b"user_id" * 1_000_000)
    header = f"must be the header {','.join(COLUMNS['users'])}, in UTF-8"
    value = ("user_id" * 2000)[:10_000]
    assert refused(month).faults == (
        Fault("users.csv", 1, None, None, CUT_OFF),
        Fault("users.csv", 1, None, value, header),
    )


# ---- the header


@pytest.mark.parametrize(("name", "column"), [(n, c) for n in TABLES for c in COLUMNS[n][::3]])
def test_missing_column(month, name, column):
    place = COLUMNS[name].index(column)
    for_all = [line.split(",") for line in month.lines(name)[:-1]]
    month.write(name, [",".join(f[:place] + f[place + 1 :]) for f in for_all] + [""])
    assert only_fault(month) == Fault(f"{name}.csv", 1, column, None, "the column is missing")


@pytest.mark.parametrize(
    ("written", "called"),
    [("extra", "extra"), ("", "(no name)"), ("USER_ID", "USER_ID"), ('"a,b"', "a,b")],
)
def test_extra_column(month, written, called):
    first = [f"{month.lines('labels')[0]},{written}"]
    rest = [f"{line},1" for line in month.lines("labels")[1:-1]]
    month.write("labels", [*first, *rest, ""])
    assert only_fault(month) == Fault("labels.csv", 1, called, None, "the column is not expected")


@pytest.mark.parametrize("column", ["user_id", "churn_label"])
def test_duplicated_column(month, column):
    month.write("labels", [f"{line},x" for line in month.lines("labels")[:-1]] + [""])
    month.edit("labels", lambda lines: lines.__setitem__(0, f"user_id,churn_label,{column}"))
    rule = "the column occurs more than once"
    assert only_fault(month) == Fault("labels.csv", 1, column, None, rule)


def test_misspelled_column_is_missing_and_the_other_not_expected(month):
    month.edit("labels", lambda lines: lines.__setitem__(0, "user_id, churn_label"))
    assert refused(month).faults == (
        Fault("labels.csv", 1, "churn_label", None, "the column is missing"),
        Fault("labels.csv", 1, " churn_label", None, "the column is not expected"),
    )


def test_header_after_blank_lines_has_their_line(month):
    month.edit("labels", lambda lines: lines.__setitem__(slice(0, 1), ["", "", "user_id,churned"]))
    assert {fault.line for fault in refused(month).faults} == {3}


# ---- lines


@pytest.mark.parametrize(("line", "fields"), [(2, 1), (20, 3), (51, 5)])
def test_line_with_fewer_fields(month, line, fields):
    month.edit("users", lambda rows: rows.__setitem__(line - 1, ",".join("x" * fields)))
    rule = f"must have 6 fields, has {fields}"
    assert only_fault(month) == Fault("users.csv", line, None, None, rule)


@pytest.mark.parametrize("more", [",", ",x", ',""', ',"a,b"'])
def test_line_with_more_fields(month, more):
    month.edit("labels", lambda rows: rows.__setitem__(30, rows[30] + more))
    rule = "must have 2 fields, has 3"
    assert only_fault(month) == Fault("labels.csv", 31, None, None, rule)


def test_line_of_blanks_is_not_blank(month):
    month.edit("labels", lambda rows: rows.insert(5, "   "))
    rule = "must have 2 fields, has 1"
    assert only_fault(month) == Fault("labels.csv", 6, None, None, rule)


def test_last_line_without_line_end(month):
    month.edit("subscriptions", lambda lines: lines.pop())
    assert only_fault(month) == Fault("subscriptions.csv", 51, None, None, CUT_OFF)


def test_file_cut_off_in_its_last_line(month):
    text = month.path("subscriptions").read_bytes()
    month.path("subscriptions").write_bytes(text[: text.rindex(b",") - 8])
    error = refused(month)
    assert {(fault.file, fault.line) for fault in error.faults} == {("subscriptions.csv", 51)}
    assert CUT_OFF in [fault.rule for fault in error.faults]
    assert any(fault.rule.startswith("must have 9 fields, has ") for fault in error.faults)


def test_quote_that_is_out_of_place_spoils_its_own_line_only(month):
    rows = ['"x,False', 'x",False', 'x"y,False', '"x"y,False', 'x,"False', '"x""",""False']
    rows += ['"x" ,False', 'x,"', '"x"""y,False']
    month.edit("labels", lambda lines: lines.__setitem__(slice(20, 29), rows))
    month.set("labels", 30, "churn_label", "maybe")
    assert refused(month).faults == (
        *(Fault("labels.csv", line, None, None, QUOTE) for line in range(21, 30)),
        Fault("labels.csv", 30, "churn_label", "maybe", TRUTH),
    )


@pytest.mark.parametrize("line", [2, 51])
def test_quote_that_is_not_closed_names_its_line(month, line):
    month.edit("labels", lambda lines: lines.__setitem__(line - 1, f'"{lines[line - 1]}'))
    assert only_fault(month) == Fault("labels.csv", line, None, None, QUOTE)


@pytest.mark.parametrize("field", ["x" * 200_000, '"' + "x" * 200_000 + '"', "ж" * 10_000])
@pytest.mark.parametrize("block_bytes", [1 << 22, 1000])
def test_field_of_absurd_length(month, monkeypatch, field, block_bytes):
    monkeypatch.setattr(read, "BLOCK_BYTES", block_bytes)
    month.set("usage_agg_30d", 12, "skips_7d", field)
    month.set("usage_agg_30d", 13, "skips_7d", "-1")
    rule = "the line is longer than 10,000 characters"
    skips = "must be a whole number from 0 to 1000000"
    assert refused(month).faults == (
        Fault("usage_agg_30d.csv", 12, None, None, rule),
        Fault("usage_agg_30d.csv", 13, "skips_7d", "-1", skips),
    )


# ---- values


BAD = {
    ("subscriptions", "months_active", MONTHS): (
        *("-1", "1201", "1.0", "1e2", "NaN", "inf", "0x10", "+1", " 1", "1 ", "1_0", "abc", "True"),
        *("１", "½", "9223372036854775807", "99999999999999999999", "-0.0", "1\t", "--1", "-"),
    ),
    ("subscriptions", "monthly_fee", FEE): (
        *("-3", "-0.01", "-1e-30", "1000.01", "1e4", "1e400", "-1e400", "1e9999", "NaN", "nan"),
        *("inf", "-inf", "Infinity", "0x1p3", "1.000.5", "1.", ".5", " 1.5", "1.5 ", "1e", "e5"),
        *("$5", "5€", "1_000.0", "٣", "None", "null", "-", ".", "9" * 400),
    ),
    ("subscriptions", "monthly_fee", TINY): ("1e-50", "1e-400", "1e-39", "0." + "0" * 400 + "1"),
    ("subscriptions", "total_paid", "must be 0 or at least 2.3e-308"): ("1e-400", "5e-324"),
    ("subscriptions", "total_paid", "must be a number from 0 to 1000000"): ("1e7", "-0.001"),
    ("subscriptions", "plan_stream_tv", TRUTH): ("true", "1", "NULL", " ", "\\N", "NaN"),
    ("usage_agg_30d", "watch_hours_30d", "must be a number from 0 to 720"): ("720.1", "-1"),
    ("usage_agg_30d", "unique_devices_30d", "must be a whole number from 0 to 1000"): ("1001",),
    ("labels", "churn_label", TRUTH): ("true", "TRUE", "yes", "0", " True", "True ", "Trüe"),
    ("users", "user_gender", "must be one of Female, Male"): (
        *("female", "Fem\u200bale", "Мale", "Other", "'Male'", "Male\u00a0", "Fe male"),
    ),
    ("users", "signup_date", DAY): (
        *("2024-02-30", "2023-13-01", "2023-00-10", "2023-02-29", "2024-02-01", "9999-12-31"),
        *("1899-12-31", "0000-01-01", "2024-1-05", "05.01.2024", "20240105", "2024/01/05"),
        *("2024-01-05T00:00:00", "2024-01-05 ", "today", "infinity", "２０２４-01-01"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("where", "values"),
    [(where, bad[at : at + 10]) for where, bad in BAD.items() for at in range(0, len(bad), 10)],
    ids=lambda part: "-".join(part)[:60] if isinstance(part[0], str) else None,
)
def test_values_that_break_their_rule(month, where, values):
    name, column, rule = where
    for line, value in enumerate(values, 9):
        month.set(name, line, column, value)
    assert refused(month).faults == tuple(
        Fault(f"{name}.csv", line, column, value, rule) for line, value in enumerate(values, 9)
    )


@pytest.mark.parametrize(
    ("raw", "value"),
    [('"1,000"', "1,000"), ('"1"""', '1"'), ('" 1"', " 1"), ('"1\r"', "1\r"), ("1\0", "1\ufffd")],
)
def test_quoted_value_that_breaks_its_rule_is_shown_without_its_quotes(month, raw, value):
    month.set("subscriptions", 9, "monthly_fee", raw)
    assert only_fault(month) == Fault("subscriptions.csv", 9, "monthly_fee", value, FEE)


def test_message_is_for_people(month):
    month.set("subscriptions", 17, "monthly_fee", "-3")
    text = "subscriptions.csv:17 monthly_fee = '-3': must be a number from 0 to 1000"
    assert str(only_fault(month)) == text


@pytest.mark.parametrize(("name", "raw"), [*((name, "") for name in TABLES), ("labels", '""')])
def test_every_required_column_must_have_a_value(month, name, raw):
    required = [c for c in COLUMNS[name][1:] if not c.startswith("plan_stream_")]
    for column in required:
        month.set(name, 3, column, raw)
    assert refused(month).faults == tuple(
        Fault(f"{name}.csv", 3, column, None, "must not be empty") for column in required
    )


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("A\0B", "A\ufffdB"),
        ("A\tB", "A\tB"),
        ("A\x1bB", "A\x1bB"),
        ("A\x7fB", "A\x7fB"),
        ("A\x85B", "A\x85B"),
        ("A\u2028B", "A\u2028B"),
        ("A\ufffdB", "A\ufffdB"),
        ('"A\rB"', "A\rB"),
        (" A", " A"),
        ("A ", "A "),
        ('"A "', "A "),
        ("\u00a0A", "\u00a0A"),
        ("A\u3000", "A\u3000"),
        ("A\u200b", "A\u200b"),
        ("\ufeffA", "\ufeffA"),
        ("A" * 129, "A" * 129),
        ("A" * 200, "A" * 200),
        ("ж" * 129, "ж" * 129),
        (" ", " "),
    ],
)
def test_id_that_no_user_may_have(month, raw, value):
    month.rename(5, raw)
    error = refused(month)
    expected = [Fault(f"{name}.csv", 5, "user_id", value, IDENTIFIER) for name in TABLES]
    assert list(error.faults) == expected
    assert error.total == 6


def test_id_with_a_line_break_is_two_broken_lines(month):
    month.rename(5, '"A\nB"')
    error = refused(month)
    assert error.faults[:2] == (
        Fault("users.csv", 5, None, None, QUOTE),
        Fault("users.csv", 6, None, None, QUOTE),
    )
    assert error.total == 12


def test_empty_id(month):
    month.rename(5, "")
    expected = [Fault(f"{name}.csv", 5, "user_id", None, "must not be empty") for name in TABLES]
    assert list(refused(month).faults) == expected


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xe4", b"\xed\xa0\x80", b"\xc0\xaf"])
def test_bytes_that_are_no_utf8(month, bad):
    for name in TABLES:
        month.set(name, 5, "user_id", "BAD")
        month.path(name).write_bytes(month.path(name).read_bytes().replace(b"BAD", b"A" + bad))
    faults = refused(month).faults
    assert [(one.file, one.line, one.rule) for one in faults] == [
        (f"{name}.csv", 5, IDENTIFIER) for name in TABLES
    ]
    assert faults[0].value.startswith("A\ufffd")


# ---- across rows and files


@pytest.mark.parametrize("name", TABLES)
def test_user_that_occurs_twice_names_the_first_line(month, monkeypatch, name):
    monkeypatch.setattr(read, "BLOCK_BYTES", 400)  # the three are in different blocks
    user = month.user(4)
    row = next(line for line in month.lines(name) if line.startswith(f"{user},"))
    first = month.lines(name).index(row) + 1
    month.edit(name, lambda lines: lines.insert(45, row))
    month.edit(name, lambda lines: lines.insert(51, row))
    rule = f"occurs already in line {first}"
    assert refused(month).faults == tuple(
        Fault(f"{name}.csv", line, "user_id", user, rule) for line in (46, 52)
    )


@pytest.mark.parametrize("name", [name for name in TABLES if name != "users"])
def test_user_that_users_csv_does_not_have(month, name):
    month.edit(name, lambda lines: lines.insert(7, lines[7].replace(month.user(8), "unknown-1")))
    rule = "is not in users.csv"
    assert only_fault(month) == Fault(f"{name}.csv", 8, "user_id", "unknown-1", rule)


def test_user_without_a_label(month):
    month.edit("labels", lambda lines: lines.pop(10))
    rule = "has no row in labels.csv"
    assert only_fault(month) == Fault("users.csv", 11, "user_id", month.user(11), rule)


@pytest.mark.parametrize("name", ["subscriptions", "usage_agg_30d", "payments_agg_90d"])
def test_user_without_a_snapshot_is_accepted(month, name):
    before = contents()
    month.edit(name, lambda lines: lines.pop(10))
    assert (load(month).counts.read, contents()) == (299, before)


def test_ids_differ_by_case_accents_and_form(month):
    month.rename(5, "cafe\u0301")
    month.set("labels", 5, "user_id", "caf\u00e9")
    month.set("usage_agg_30d", 5, "user_id", "CAFE\u0301")
    assert [(fault.file, fault.value) for fault in refused(month).faults] == [
        ("users.csv", "cafe\u0301"),
        ("usage_agg_30d.csv", "CAFE\u0301"),
        ("labels.csv", "caf\u00e9"),
    ]


@pytest.mark.parametrize("name", ["users", "labels"])
def test_nobody_is_said_to_be_missing_from_a_file_with_broken_lines(month, name):
    month.edit(name, lambda lines: lines.__setitem__(9, "broken"))
    fault = only_fault(month)
    assert (fault.file, fault.line) == (f"{name}.csv", 10)


# ---- many faults


def test_faults_come_by_file_and_line_and_all_are_counted(month, monkeypatch):
    monkeypatch.setattr(read, "BLOCK_BYTES", 300)
    month.edit("users", lambda lines: lines.append(lines.pop() + lines[1] + "\n"))
    for line in (40, 3):
        month.set("users", line, "has_family", "?")
        month.set("users", line, "user_gender", "?")
    for line in (33, 12, 2):
        month.set("subscriptions", line, "total_paid", "?")
    month.edit("subscriptions", lambda lines: lines.__setitem__(20, "short"))
    for line in range(2, 52):
        month.set("usage_agg_30d", line, "skips_7d", "-1")
    month.set("labels", 51, "churn_label", "?")
    error = refused(month)
    assert [(fault.file, fault.line, fault.column) for fault in error.faults[:10]] == [
        ("users.csv", 3, "user_gender"),
        ("users.csv", 3, "has_family"),
        ("users.csv", 40, "user_gender"),
        ("users.csv", 40, "has_family"),
        ("users.csv", 52, "user_id"),
        ("subscriptions.csv", 2, "total_paid"),
        ("subscriptions.csv", 12, "total_paid"),
        ("subscriptions.csv", 21, None),
        ("subscriptions.csv", 33, "total_paid"),
        ("usage_agg_30d.csv", 2, "skips_7d"),
    ]
    assert error.total == 9 + 50 + 1
    assert recent(1)[0]["message"] == "60 faults, nothing was stored"


@pytest.mark.parametrize("block_bytes", [1 << 22, 400])
def test_every_field_wrong(month, monkeypatch, block_bytes):
    monkeypatch.setattr(read, "BLOCK_BYTES", block_bytes)
    for name in TABLES:
        for column in COLUMNS[name][1:]:
            for line in range(2, 52):
                month.set(name, line, column, "?")
    error = refused(month)
    assert error.total == 50 * sum(len(columns) - 1 for columns in COLUMNS.values())
    expected = [(line, column) for line in range(2, 52) for column in COLUMNS["users"][1:]]
    assert [(fault.line, fault.column) for fault in error.faults[: len(expected)]] == expected


def test_line_numbers_count_blank_lines_in_every_block(month, monkeypatch):
    monkeypatch.setattr(read, "BLOCK_BYTES", 50)
    month.write("labels", [part for line in month.lines("labels")[:-1] for part in ("", line, "")])
    month.write("labels", [*month.lines("labels"), ""])
    month.edit("labels", lambda lines: lines.__setitem__(100, "broken"))
    month.edit("labels", lambda lines: lines.__setitem__(130, lines[130].split(",")[0] + ",?"))
    assert [fault.line for fault in refused(month).faults] == [101, 131]


# ---- what nobody could see

DECOMPOSED = "Jose\u0301"
COMPOSED = "Jos\u00e9"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (" churn_label", "with U+0020 SPACE more"),
        ("churn_label\xa0", "with U+00A0 NO-BREAK SPACE more"),
        ("churn\u200b_label", "with U+200B ZERO WIDTH SPACE more"),
        ("\ufeffchurn_label", "with U+FEFF ZERO WIDTH NO-BREAK SPACE more"),
        ("Churn_Label", "differ in capitals"),
        ("churn_lаbel", "with U+0430 CYRILLIC SMALL LETTER A for U+0061 LATIN SMALL LETTER A"),
        (
            "churn＿label",
            "with U+FF3F FULLWIDTH LOW LINE for U+005F LOW LINE",
        ),
    ],
)
def test_a_header_that_looks_right_says_what_differs(month, written, said):
    month.edit("labels", lambda lines: lines.__setitem__(0, f"user_id,{written}"))
    missing, other = refused(month).faults
    assert str(missing) == "labels.csv:1 churn_label: the column is missing"
    assert str(other).endswith(said)
    assert "the column is not expected; '" in str(other)
    assert "'churn_label'" in str(other)


def test_a_header_of_lookalikes_alone_says_what_differs(month):
    month.edit("labels", lambda lines: lines.__setitem__(0, "User_ID, churn_label"))
    assert [str(fault) for fault in refused(month).faults][2:] == [
        "labels.csv:1 User_ID: the column is not expected; "
        "'User_ID' and 'user_id' differ in capitals",
        "labels.csv:1 ' churn_label': the column is not expected; "
        "' churn_label' looks like 'churn_label', with U+0020 SPACE more",
    ]


@pytest.mark.parametrize("called", ["Labels.csv", "labels .csv", " labels.csv", "lаbels.csv"])
def test_a_file_whose_name_looks_right_says_what_differs(month, called):
    month.path("labels").rename(month.folder / called)
    fault = only_fault(month)
    assert fault.rule == "the file is missing"
    assert fault.note.startswith(f"there is one whose name differs: '{called}' ")


@pytest.mark.parametrize("name", ["labels", "subscriptions"])
def test_an_id_in_another_normal_form_says_so(month, name):
    month.rename(5, COMPOSED)
    month.set(name, 5, "user_id", DECOMPOSED)
    told = [str(fault) for fault in refused(month).faults]
    assert (
        f"{name}.csv:5 user_id = '{DECOMPOSED}': is not in users.csv; '{DECOMPOSED}' (NFD) and "
        f"'{COMPOSED}' (NFC) look the same, in different normal forms of Unicode"
    ) in told
    if name == "labels":
        assert told[0] == (
            f"users.csv:5 user_id = '{COMPOSED}': has no row in labels.csv; '{COMPOSED}' (NFC) and "
            f"'{DECOMPOSED}' (NFD) look the same, in different normal forms of Unicode"
        )


@pytest.mark.parametrize(
    ("given", "meant", "said"),
    [
        ("A\u200bB", "AB", "with U+200B ZERO WIDTH SPACE more"),
        ("АB", "AB", "U+0410 CYRILLIC CAPITAL LETTER A for U+0041 LATIN CAPITAL LETTER A"),
        ("ab-1", "AB-1", "differ in capitals"),
        ("user 1", "user\u00a01", "with U+0020 SPACE for U+00A0 NO-BREAK SPACE"),
        ("AB‐1", "AB-1", "with U+2010 HYPHEN for U+002D HYPHEN-MINUS"),
    ],
)
def test_an_id_that_looks_like_a_known_one_says_what_differs(month, given, meant, said):
    month.rename(5, meant)
    month.set("labels", 5, "user_id", given)
    told = [str(fault) for fault in refused(month).faults if fault.file == "labels.csv"]
    assert len(told) == 1
    assert said in told[0]


def test_an_id_that_looks_like_none_is_told_as_before(month):
    month.set("labels", 5, "user_id", "nobody")
    assert {fault.note for fault in refused(month).faults} == {""}
