"""A month spoiled at random is stored or refused: no traceback, and refused is as it was."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.results import Result, choose, record
from jobs.tests.acting import TABLES, execute, streamflow

pytestmark = pytest.mark.slow  # months spoiled at random

EXAMPLES = choose(40, 400)
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD = (
    *("", " ", "-0", "0.0", "1e308", "1e-320", "NaN", "inf", "-1", "9" * 40, "0x10", "1_000"),
    *("1,5", "True ", "true", "NULL", "\\N", "\\.", "'", '"', '""', "0002-ORFBO", "2024-02-30"),
    *("\u202e", "é", "\u00a0", "\ufeff", "\ud83d\ude00", "a" * 200, "=1+1", "../x", "%s", "{}"),
)
FILES = st.sampled_from(sorted(TABLES))
NUMBERS = st.integers(0, 10**6)


@st.composite
def spoils(draw: st.DrawFn) -> tuple[str, str, tuple[int, ...], bytes]:
    """One change of one file: its kind, places, and what is put there."""
    kind = draw(
        st.sampled_from(["flip", "cut", "drop", "double", "swap", "field", "encode", "insert"])
    )
    places = draw(st.tuples(NUMBERS, NUMBERS, NUMBERS))
    odd = st.sampled_from(ODD).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return draw(FILES), kind, places, draw(odd | st.binary(min_size=1, max_size=8))


def spoil(data: bytes, kind: str, places: tuple[int, ...], what: bytes) -> bytes:
    """The file's bytes after one change; an empty file stays one."""
    if not data:
        return what if kind == "insert" else data
    at = places[0] % len(data)
    lines = data.split(b"\n")
    row, other = places[1] % len(lines), places[2] % len(lines)
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ (1 << places[1] % 8)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + what + data[at:]
    if kind == "encode":
        return data.decode("utf-8", "replace").encode(("utf-16", "utf-8-sig", "utf-32")[at % 3])
    if kind == "drop":
        del lines[row]
    elif kind == "double":
        lines.insert(row, lines[other])
    elif kind == "swap":  # two columns of the whole file
        lines = [swapped(line.split(b","), places) for line in lines]
    else:
        fields = lines[row].split(b",")
        fields[places[2] % len(fields)] = what
        lines[row] = b",".join(fields)
    return b"\n".join(lines)


def swapped(fields: list[bytes], places: tuple[int, ...]) -> bytes:
    """A line with two of its fields in each other's place."""
    a, b = places[0] % len(fields), places[1] % len(fields)
    fields[a], fields[b] = fields[b], fields[a]
    return b",".join(fields)


@pytest.fixture
def loaded(database: str, small_months: Path) -> Path:
    """January, which is stored."""
    january = small_months / "month_000"
    assert streamflow("ingest", str(january), "--as-of", "2024-01-31").exit_code == 0
    return january


def test_a_spoiled_month_is_stored_or_refused(loaded: Path, tmp_path: Path) -> None:
    codes: list[int] = []
    folder = tmp_path / "month"

    @SETTINGS
    @given(st.lists(spoils(), min_size=1, max_size=3))
    def check(changes: list[tuple[str, str, tuple[int, ...], bytes]]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(loaded, folder)
        for name, kind, places, what in changes:
            path = folder / f"{name}.csv"
            path.write_bytes(spoil(path.read_bytes(), kind, places, what))
        before = sources()
        done = streamflow("ingest", str(folder), "--as-of", "2024-01-31")
        assert done.exit_code in (0, 3), (done.stderr, done.exception)
        assert isinstance(done.exception, SystemExit | None), done.exception
        assert "Traceback" not in done.stderr
        if done.exit_code == 3:
            assert "nothing was stored" in done.stderr
            assert sources() == before
        codes.append(done.exit_code)

    check()
    assert {0, 3} <= set(codes)
    record(Result("months spoiled at random", "`ingest`", len(codes), 0, None, 0))


def sources() -> list[object]:
    """Returns counts and checksums of the source tables, with their load times."""
    query = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM source."
    return [execute(f"{query}{table} AS t") for table in TABLES.values()]


def test_every_kind_of_change_changes_something(loaded: Path) -> None:
    data = (loaded / "users.csv").read_bytes()
    for kind in ("flip", "cut", "drop", "double", "swap", "field", "encode", "insert"):
        assert spoil(data, kind, (5, 2, 3), b"x") != data, kind
