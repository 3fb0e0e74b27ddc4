"""Loading a month: exactly its values, all six files or nothing, again without any effect."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.ingest import read
from jobs.ingest.load import ingest
from jobs.run.earlier_runs import recent
from jobs.run.ledger import recorded
from jobs.run.result import Run
from jobs.tests.acting import TABLES
from streamflow.errors import ConfigurationError, InputRefused, StoreUnavailable
from streamflow.postgres.connect import connect

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)
MONTH_ROWS = 6 * 50
ROOT = Path(__file__).parents[3]


@pytest.fixture
def january(small_months: Path) -> Path:
    return small_months / "month_000"


@pytest.fixture
def february(small_months: Path) -> Path:
    return small_months / "month_001"


@pytest.fixture
def copy(january: Path, tmp_path: Path) -> Path:
    """A January to change."""
    return Path(shutil.copytree(january, tmp_path / "copy"))


def load(folder: Path, as_of: date) -> Run:
    with recorded("ingest") as run:
        ingest(run, folder, as_of)
    return run


def counts(run: Run) -> tuple[int, int, int, int, int]:
    """Returns a run's counts: read, written, late, unchanged, refused."""
    of = run.counts
    return of.read, of.written, of.late, of.unchanged, of.refused


def contents() -> dict[str, tuple[int, str | None]]:
    """Each source table's number of rows and a hash over all of them, loaded_at included."""
    query = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM source."
    with connect() as connection:
        return {
            table: connection.execute(f"{query}{table} AS t").fetchone()
            for table in TABLES.values()
        }


def of_month(as_of: date) -> dict[str, tuple[int, str | None]]:
    """Returns row counts and checksums of one month in the snapshot tables."""
    query = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM source."
    with connect() as connection:
        return {
            table: connection.execute(f"{query}{table} AS t WHERE as_of = %s", [as_of]).fetchone()
            for name, table in TABLES.items()
            if name != "users"
        }


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def values_of(name: str, as_of: date) -> dict[str, dict[str, object]]:
    """A table's rows of a month by user, without what the ingest adds."""
    query = f"SELECT * FROM source.{TABLES[name]} WHERE as_of = %s"
    with connect() as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row).execute(query, [as_of])
        found = {row["user_id"]: row for row in cursor}
    for row in found.values():
        del row["as_of"], row["loaded_at"]
    return found


def change(file: Path, line: int, column: str, value: str) -> str:
    """Writes `value` at a line (the header is 1); gives the user of that line."""
    rows = rows_of(file)
    rows[line - 2][column] = value
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows[line - 2]["user_id"]


# ---- what is stored


FLAGS = {"True": True, "False": False, "": None}
KINDS: dict[str, Callable[[str], object]] = {
    "text": str,
    "date": date.fromisoformat,
    "boolean": FLAGS.__getitem__,
    "bigint": int,
    "real": np.float32,
    "double precision": float,
}


def types_of(name: str) -> dict[str, str]:
    query = (
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'source' AND table_name = %s"
    )
    with connect() as connection:
        return dict(connection.execute(query, [TABLES[name]]).fetchall())


def test_every_value_is_stored_exactly(database, january):
    load(january, JANUARY)
    for name in TABLES:
        types = types_of(name)
        expected = {
            row["user_id"]: {column: KINDS[types[column]](text) for column, text in row.items()}
            for row in rows_of(january / f"{name}.csv")
        }
        found = values_of(name, JANUARY)
        for row in found.values():
            # The driver reads a `real` as the shortest number that gives it back.
            row |= {one: np.float32(row[one]) for one in row if types[one] == "real"}
        assert len(found) == 50
        assert found == expected


def test_snapshots_are_of_midnight_utc_and_loaded_now(database, january):
    before = datetime.now(UTC)
    run = load(january, JANUARY)
    assert run.window == (datetime(2024, 1, 31, tzinfo=UTC),) * 2
    with connect() as connection:
        for table in TABLES.values():
            [(as_of, loaded_at)] = connection.execute(
                f"SELECT DISTINCT as_of, loaded_at FROM source.{table}"
            ).fetchall()
            assert as_of == datetime(2024, 1, 31, tzinfo=UTC)
            assert before <= loaded_at <= datetime.now(UTC)


def test_unknown_streaming_plans_are_null(database, copy):
    user = change(copy / "subscriptions.csv", 2, "plan_stream_tv", "")
    change(copy / "subscriptions.csv", 2, "plan_stream_movies", "")
    load(copy, JANUARY)
    row = values_of("subscriptions", JANUARY)[user]
    assert (row["plan_stream_tv"], row["plan_stream_movies"]) == (None, None)


IDS = [
    "a",
    "x" * 128,
    "ж" * 128,
    "Łódź-用户-مستخدم",
    "👩‍👩‍👧 family",
    "comma,inside",
    'quote"inside',
    '"quoted"',
    '"',
    "'; DROP TABLE source.users; --",
    "back\\slash",
    "\\N",
    "\\.",
    "NULL",
    "null",
    "NaN",
    "0",
    "007",
    "1e5",
    "True",
    "=1+1",
    "cafe\u0301",
    "caf\u00e9",
    "two  blanks",
    "%s {} %(x)s",
]


def test_ids_of_any_script_and_with_any_mark_are_stored_exactly(database, copy):
    for name in TABLES:
        rows = rows_of(copy / f"{name}.csv")
        for row, user in zip(rows, IDS, strict=False):
            row["user_id"] = user
        with (copy / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    load(copy, JANUARY)
    for name in TABLES:
        assert set(IDS) <= set(values_of(name, JANUARY))


EDGES = [
    ("subscriptions", "monthly_fee", "0", np.float32(0)),
    ("subscriptions", "monthly_fee", "0.000", np.float32(0)),
    ("subscriptions", "monthly_fee", "0e-999", np.float32(0)),
    ("subscriptions", "monthly_fee", "-0.0", np.float32(0)),
    ("subscriptions", "monthly_fee", "1000", np.float32(1000)),
    ("subscriptions", "monthly_fee", "2.985E+1", np.float32(29.85)),
    ("subscriptions", "monthly_fee", "29.85" + "0" * 500, np.float32(29.85)),
    ("subscriptions", "monthly_fee", "1.2e-38", np.float32(1.2e-38)),
    ("subscriptions", "total_paid", "1e-50", 1e-50),
    ("subscriptions", "total_paid", "2.3e-308", 2.3e-308),
    ("subscriptions", "total_paid", "0.1", 0.1),
    ("subscriptions", "total_paid", "999999.9999999999", 999999.9999999999),
    ("subscriptions", "months_active", "1200", 1200),
    ("subscriptions", "months_active", "000000000000000012", 12),
    ("usage_agg_30d", "watch_hours_30d", "720", np.float32(720)),
    ("usage_agg_30d", "skips_7d", "1000000", 1_000_000),
    ("users", "signup_date", "2024-01-31", JANUARY),
    ("users", "signup_date", "1900-01-01", date(1900, 1, 1)),
    ("users", "signup_date", "2000-02-29", date(2000, 2, 29)),
]


def test_values_at_the_edge_are_stored_exactly(database, copy):
    users = [
        change(copy / f"{file}.csv", line, column, text)
        for line, (file, column, text, _) in enumerate(EDGES, 2)
    ]
    load(copy, JANUARY)
    for user, (file, column, _, expected) in zip(users, EDGES, strict=True):
        found = values_of(file, JANUARY)[user][column]
        # The driver reads a `real` as the shortest number that gives it back.
        assert type(expected)(found) == expected if isinstance(found, float) else found == expected


def test_progress_adds_up_to_the_size_of_the_files(database, copy):
    (copy / "users.csv").write_bytes(b"\xef\xbb\xbf" + (copy / "users.csv").read_bytes())
    heard: list[int] = []
    with recorded("ingest") as run:
        ingest(run, copy, JANUARY, heard.append)
    assert sum(heard) == sum((copy / f"{name}.csv").stat().st_size for name in TABLES)
    assert min(heard) >= 0


def test_other_files_in_the_folder_do_not_matter(database, copy):
    (copy / "notes.txt").write_text("hello")
    (copy / "users.csv.bak").write_text("broken")
    assert counts(load(copy, JANUARY)) == (MONTH_ROWS, MONTH_ROWS, 0, 0, 0)


CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cn"]) | st.sampled_from(
    "\0\t\n\r \"',;\\\u00a0\u200b\u2028\x85é"
)
NUMBERS = (
    st.floats().map(repr)
    | st.floats(-1e-36, 1e-36).map(repr)
    | st.decimals(0, 1000).map(str)
    | st.text("0123456789eE.+-", max_size=8)
)


def acceptable(user: str) -> bool:
    """True if a user id is valid, by Python's own tables of characters."""
    kinds = [unicodedata.category(character) for character in user]
    return (
        1 <= len(user) <= 128
        and not {"Cc", "Zl", "Zp"} & set(kinds)
        and "\ufffd" not in user
        and not {"Zs", "Cf"} & {kinds[0], kinds[-1]}
    )


def of_one_user(folder: Path, january: Path, user: str, **fields: str) -> Path:
    """A month with the first user of January, under another id and with other values."""
    folder.mkdir(exist_ok=True)
    for name in TABLES:
        row = rows_of(january / f"{name}.csv")[0]
        row |= {"user_id": user, **{one: fields[one] for one in fields.keys() & row.keys()}}
        quoted = ",".join('"' + field.replace('"', '""') + '"' for field in row.values())
        (folder / f"{name}.csv").write_bytes(f"{','.join(row)}\n{quoted}\n".encode())
    return folder


anything = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@anything
@given(st.text(CHARACTERS, max_size=5))
@example("\\.")
@example("a\rb")
@example("\ud7ff\ue000")
def test_any_id_is_stored_exactly_or_refused(database, january, tmp_path, user):
    before = contents()
    folder = of_one_user(tmp_path / "one", january, user)
    if acceptable(user):
        load(folder, JANUARY)
        assert all(user in values_of(name, JANUARY) for name in TABLES)
    else:
        with pytest.raises(InputRefused):
            load(folder, JANUARY)
        assert contents() == before


@pytest.mark.slow
@anything
@given(NUMBERS, NUMBERS)
@example("1e-46", "1e-324")
@example("1.2e-38", "2.3e-308")
def test_any_number_is_stored_exactly_or_refused(database, january, tmp_path, fee, paid):
    before = contents()
    folder = of_one_user(tmp_path / "one", january, "U", monthly_fee=fee, total_paid=paid)
    refusal = None
    try:
        load(folder, JANUARY)
    except InputRefused as error:
        refusal = error
    if refusal:
        assert {fault.value for fault in refusal.faults} <= {fee or None, paid or None}
        assert contents() == before
    else:
        stored = values_of("subscriptions", JANUARY)["U"]
        assert np.float32(stored["monthly_fee"]) == np.float32(fee)
        assert stored["total_paid"] == float(paid)


# ---- again, corrected, late


def test_first_run_writes_every_row_and_the_second_none(database, january):
    assert counts(load(january, JANUARY)) == (MONTH_ROWS, MONTH_ROWS, 0, 0, 0)
    before = contents()
    assert counts(load(january, JANUARY)) == (MONTH_ROWS, 0, 0, MONTH_ROWS, 0)
    assert contents() == before


CORRECTIONS = [
    ("users", "user_gender", {"Female": "Male", "Male": "Female"}),
    ("subscriptions", "monthly_fee", {None: "77.77"}),
    ("subscriptions", "plan_stream_tv", {"": "True", "True": "", "False": ""}),
    ("usage_agg_30d", "watch_hours_30d", {None: "1.5"}),
    ("payments_agg_90d", "failed_payments_90d", {None: "999"}),
    ("support_agg_90d", "support_tickets_90d", {None: "9999"}),
    ("labels", "churn_label", {"True": "False", "False": "True"}),
]


@pytest.mark.parametrize(("name", "column", "to"), CORRECTIONS)
def test_a_correction_writes_the_rows_that_differ_and_no_other(database, copy, name, column, to):
    load(copy, JANUARY)
    tables, rows = contents(), values_of(name, JANUARY)
    loaded = loaded_at(name)
    text = rows_of(copy / f"{name}.csv")[8][column]
    user = change(copy / f"{name}.csv", 10, column, to.get(text) or to.get(None) or "")
    assert counts(load(copy, JANUARY)) == (MONTH_ROWS, 1, 0, MONTH_ROWS - 1, 0)
    after = values_of(name, JANUARY)
    assert [one for one in rows if rows[one] != after[one]] == [user]
    assert {one for one in rows[user] if rows[user][one] != after[user][one]} == {column}
    later = loaded_at(name)
    assert later.pop(user) > loaded.pop(user)
    assert later == loaded
    others = set(TABLES.values()) - {TABLES[name]}
    assert {table: contents()[table] for table in others} == {one: tables[one] for one in others}


def loaded_at(name: str) -> dict[str, datetime]:
    with connect() as connection:
        query = f"SELECT user_id, loaded_at FROM source.{TABLES[name]}"
        return dict(connection.execute(query).fetchall())


def test_the_next_month_leaves_the_first_and_renews_the_users(database, january, february):
    load(january, JANUARY)
    before = of_month(JANUARY)
    assert counts(load(february, FEBRUARY)) == (MONTH_ROWS, MONTH_ROWS, 0, 0, 0)
    assert of_month(JANUARY) == before
    assert {rows for rows, _ in of_month(FEBRUARY).values()} == {50}
    assert len(values_of("users", FEBRUARY)) == 50


def test_an_older_month_is_late_and_leaves_users_and_the_newer_month_alone(
    database, copy, february
):
    user = change(copy / "users.csv", 4, "user_gender", "Male")
    change(copy / "users.csv", 5, "signup_date", "1999-09-09")
    load(february, FEBRUARY)
    newer, users = of_month(FEBRUARY), contents()["users"]
    assert counts(load(copy, JANUARY)) == (MONTH_ROWS, 250, 250, 50, 0)
    assert of_month(FEBRUARY) == newer
    assert contents()["users"] == users
    assert user in values_of("subscriptions", JANUARY)
    before = contents()
    assert counts(load(copy, JANUARY)) == (MONTH_ROWS, 0, 0, MONTH_ROWS, 0)
    assert contents() == before


def test_a_user_only_of_the_older_month_comes_in_late_with_that_month(database, copy, february):
    load(february, FEBRUARY)
    users = values_of("users", FEBRUARY)
    for name in TABLES:
        file = copy / f"{name}.csv"
        last = file.read_text().splitlines()[-1]
        file.write_text(f"{file.read_text()}{last.replace(last.split(',')[0], 'GONE-SINCE')}\n")
    assert counts(load(copy, JANUARY)) == (306, 256, 256, 50, 0)
    assert values_of("users", FEBRUARY) == users
    assert list(values_of("users", JANUARY)) == ["GONE-SINCE"]


def test_correcting_an_older_month_is_late_too(database, copy, february):
    load(copy, JANUARY)
    load(february, FEBRUARY)
    newer = of_month(FEBRUARY)
    change(copy / "labels.csv", 3, "churn_label", "True")
    change(copy / "labels.csv", 4, "churn_label", "False")
    change(copy / "subscriptions.csv", 3, "monthly_fee", "33.3")
    run = load(copy, JANUARY)
    assert run.counts.written == run.counts.late > 0
    assert run.counts.written + run.counts.unchanged == MONTH_ROWS
    assert of_month(FEBRUARY) == newer


def test_correcting_the_newest_month_is_not_late(database, january, copy, february):
    load(january, JANUARY)
    load(february, FEBRUARY)
    for name in TABLES:
        shutil.copy(february / f"{name}.csv", copy)
    user = change(copy / "users.csv", 3, "signup_date", "2001-01-01")
    before = of_month(JANUARY)
    assert counts(load(copy, FEBRUARY)) == (MONTH_ROWS, 1, 0, MONTH_ROWS - 1, 0)
    assert of_month(JANUARY) == before
    assert values_of("users", FEBRUARY)[user]["signup_date"] == date(2001, 1, 1)


# ---- where to read, and of when


def test_a_day_in_the_future_is_refused(database, january):
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with pytest.raises(ConfigurationError, match=f"--as-of {tomorrow} is in the future"):
        ingest(Run("ingest", {}), january, tomorrow)


def test_today_is_not_in_the_future(database, january):
    load(january, datetime.now(UTC).date())


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("absent", "No such file or directory"),
        ("file", "Not a directory"),
        ("file/below", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("nul\0", "embedded null byte"),
    ],
)
def test_a_folder_that_is_none_is_named_with_the_reason(tmp_path, folder, reason):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=rf"not a folder to read \({reason}\)"):
        ingest(Run("ingest", {}), tmp_path / folder, JANUARY)


def test_a_folder_that_may_not_be_read_is_named_with_the_reason(january, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    with pytest.raises(ConfigurationError, match=r"month_000: .*\(Permission denied\)"):
        ingest(Run("ingest", {}), january, JANUARY)


# ---- interrupted, and together


@contextmanager
def labels_locked() -> Iterator[psycopg.Connection]:
    """Five of six files are merged, then an ingest hangs until this ends; gives an observer."""
    with connect() as holder, connect(autocommit=True) as observer:
        holder.execute("LOCK TABLE source.labels_snapshots IN ACCESS EXCLUSIVE MODE")
        yield observer
        holder.rollback()


def wait_until(observer: psycopg.Connection, query: str) -> int:
    """The process id that `query` finds, as soon as it finds one."""
    for _ in range(600):
        if row := observer.execute(query).fetchone():
            return int(row[0])
        time.sleep(0.05)
    raise AssertionError(f"nothing in 30 s: {query}")


HERE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
"""Of this database: others of the server have the same tables under the same numbers."""
HANGS = f"""
    SELECT pid FROM pg_locks WHERE NOT granted
    AND relation = 'source.labels_snapshots'::regclass AND {HERE}"""
WAITS = f"""
    SELECT pid FROM pg_locks WHERE NOT granted
    AND locktype = 'advisory' AND {HERE}"""


def in_background(folder: Path, as_of: date) -> "Future[Run]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(load, folder, as_of)
    pool.shutdown(wait=False)
    return future


def test_killed_halfway_leaves_nothing_and_the_next_run_succeeds(database, january, february):
    load(january, JANUARY)
    program = (
        "import sys; from datetime import date; from pathlib import Path;"
        "from jobs.run.ledger import recorded; from jobs.ingest.load import ingest\n"
        "with recorded('ingest') as run: ingest(run, Path(sys.argv[1]), date(2024, 2, 29))"
    )
    before = contents()
    with labels_locked() as observer:
        process = subprocess.Popen([sys.executable, "-c", program, february], cwd=ROOT)
        wait_until(observer, HANGS)
        assert recent(1)[0]["outcome"] == "running"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        wait_until(
            observer,
            f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_locks WHERE objsubid = 2 AND {HERE})",
        )
        killed = recent(1)[0]
    assert contents() == before
    assert (killed["outcome"], killed["written"]) == ("killed", 0)
    assert counts(load(february, FEBRUARY)) == (MONTH_ROWS, MONTH_ROWS, 0, 0, 0)
    assert [run["outcome"] for run in recent(3)] == ["done", "killed", "done"]


def test_a_connection_lost_while_merging_stores_nothing(database, january):
    before = contents()
    with labels_locked() as observer:
        lost = in_background(january, JANUARY)
        observer.execute("SELECT pg_terminate_backend(%s)", [wait_until(observer, HANGS)])
        with pytest.raises(StoreUnavailable, match="terminating connection"):
            lost.result(30)
    assert contents() == before
    run = recent(1)[0]
    assert (run["outcome"], run["written"], run["unchanged"]) == ("failed", 0, 0)
    assert load(january, JANUARY).counts.written == MONTH_ROWS


def test_a_connection_lost_while_copying_stores_nothing(database, january, monkeypatch):
    monkeypatch.setattr(read, "BLOCK_BYTES", 500)
    before, heard = contents(), []

    def terminate(read: int) -> None:
        heard.append(read)
        if len(heard) == 20:
            with connect(autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query LIKE 'COPY%' AND datname = current_database()"
                )

    with pytest.raises(StoreUnavailable), recorded("ingest") as run:
        ingest(run, january, JANUARY, terminate)
    assert contents() == before
    assert recent(1)[0]["outcome"] == "failed"


def test_interrupted_by_a_person_stores_nothing_and_frees_the_lock(database, january):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    before = contents()
    with pytest.raises(KeyboardInterrupt), recorded("ingest") as run:
        ingest(run, january, JANUARY, interrupt)
    assert contents() == before
    assert recent(1)[0]["outcome"] == "failed"
    assert load(january, JANUARY).counts.written == MONTH_ROWS


def test_two_at_once_of_the_same_month_write_it_once(database, january, caplog):
    caplog.set_level("INFO")
    with labels_locked() as observer:
        first = in_background(january, JANUARY)
        wait_until(observer, HANGS)
        second = in_background(january, JANUARY)
        wait_until(observer, WAITS)
    assert counts(first.result(30)) == (MONTH_ROWS, MONTH_ROWS, 0, 0, 0)
    assert counts(second.result(30)) == (MONTH_ROWS, 0, 0, MONTH_ROWS, 0)
    assert caplog.messages.count("waited for another ingest to end") == 1
    assert {rows for rows, _ in contents().values()} == {50}


def test_two_at_once_of_different_months_store_both(database, january, february):
    with labels_locked() as observer:
        first = in_background(february, FEBRUARY)
        wait_until(observer, HANGS)
        second = in_background(january, JANUARY)
        wait_until(observer, WAITS)
    assert counts(first.result(30)) == (MONTH_ROWS, MONTH_ROWS, 0, 0, 0)
    assert counts(second.result(30)) == (MONTH_ROWS, 250, 250, 50, 0)
    assert len(values_of("users", FEBRUARY)) == 50


def test_rows_that_waited_for_another_ingest_are_loaded_after_the_wait(database, january, copy):
    user = change(copy / "usage_agg_30d.csv", 9, "watch_hours_30d", "11.5")
    with labels_locked() as observer:
        first = in_background(january, JANUARY)
        wait_until(observer, HANGS)
        second = in_background(copy, JANUARY)
        wait_until(observer, WAITS)
        released = datetime.now(UTC)
    first.result(30)
    assert second.result(30).counts.written == 1
    assert loaded_at("usage_agg_30d")[user] >= released


def test_ten_at_once_end_well(database, january, february):
    started = threading.Barrier(10)

    def load_one_month(number: int) -> Run:
        started.wait(30)
        return load(*((january, JANUARY) if number % 2 else (february, FEBRUARY)))

    with ThreadPoolExecutor(10) as pool:
        runs = list(pool.map(load_one_month, range(10)))
    assert sum(run.counts.written for run in runs) in (550, 600)
    assert len(values_of("users", FEBRUARY)) == 50
    for as_of in (JANUARY, FEBRUARY):
        assert {rows for rows, _ in of_month(as_of).values()} == {50}


def test_the_ledger_tells_what_was_done(database, january):
    load(january, JANUARY)
    load(january, JANUARY)
    columns = ("read", "written", "late", "unchanged", "refused")
    second, first = recent(2)
    assert [first[column] for column in columns] == [MONTH_ROWS, MONTH_ROWS, 0, 0, 0]
    assert [second[column] for column in columns] == [MONTH_ROWS, 0, 0, MONTH_ROWS, 0]
    assert first["window_start"] == first["window_end"] == datetime(2024, 1, 31, tzinfo=UTC)


def test_a_join_right_after_finds_statistics(database: str, small_months: Path) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    with psycopg.connect() as connection:
        rows = connection.execute(
            "SELECT min(reltuples), max(reltuples) FROM pg_class"
            " WHERE relnamespace = 'source'::regnamespace AND relkind = 'r'"
        ).fetchone()
    assert rows == (50, 50)


def test_the_log_says_of_each_file_what_was_read_of_it(
    database: str, january: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="jobs.ingest.load"):
        load(january, JANUARY)
        run = load(january, JANUARY)
    stored = [one for one in caplog.records if one.message == "file stored"]
    assert [(one.file, one.read, one.written, one.unchanged) for one in stored] == [
        *((f"{name}.csv", 50, 50, 0) for name in TABLES),
        *((f"{name}.csv", 50, 0, 50) for name in TABLES),
    ]
    assert counts(run) == (300, 0, 0, 300, 0)
