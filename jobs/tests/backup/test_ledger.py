"""A stored backup is noted in the ledger, and stored where there is none as well."""

import json
from pathlib import Path

import pytest

from jobs.backup.place import Place
from jobs.tests.acting import execute, streamflow
from jobs.tests.backup.test_place import NAME, dumps

LEDGER = "SELECT command, outcome, message, rows_written FROM ops.runs"


def store(tmp_path: Path, name: str = "job") -> tuple[int, dict[str, str], str]:
    """Stores a backup; gives the exit code, the JSON line and standard error."""
    work = tmp_path / "backups" / f".{name}.tmp"
    if not work.exists():
        dumps(work)
    done = streamflow("backup", "store", str(work), "--to", str(tmp_path / "backups"))
    return done.exit_code, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_backup_that_was_stored_is_in_the_ledger(database: str, tmp_path: Path) -> None:
    code, line, _ = store(tmp_path)
    assert (code, line["backup"]) == (0, NAME)
    assert execute(LEDGER) == [("backup", "done", NAME, 100)]
    query = "SELECT last_success_at IS NOT NULL FROM ops.status_of_commands WHERE command = %s"
    assert execute(query, "backup") == [(True,)]


def test_one_that_failed_is_there_too(database: str, tmp_path: Path) -> None:
    (tmp_path / "backups" / ".job.tmp").mkdir(parents=True)
    code, line, _ = store(tmp_path)
    assert (code, line["outcome"]) == (1, "failed")
    ((command, outcome, message, _),) = execute(LEDGER)
    assert (command, outcome) == ("backup", "failed")
    assert "no dump is there" in message


@pytest.mark.parametrize("port", ["1", None])
def test_a_backup_is_stored_without_a_ledger(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str | None
) -> None:
    """The database does not answer, or was never applied."""
    if port:
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", port)
    code, _, said = store(tmp_path)
    assert code == 0
    assert "not noted in the ledger" in said
    assert Place(str(tmp_path / "backups")).names() == [NAME]
