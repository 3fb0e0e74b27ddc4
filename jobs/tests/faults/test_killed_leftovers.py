"""Tests of the leftovers of a run killed between two steps, and of the next run over them."""

from datetime import date
from pathlib import Path

import fsspec
import pytest

from jobs.apply import apply as applying
from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run.earlier_runs import last_outcome
from jobs.run.ledger import recorded
from jobs.tests.acting import execute
from jobs.training.scratch import scratch
from streamflow.errors import StreamflowError
from streamflow.postgres.connect import connect

LOCAL = fsspec.filesystem("file")
ABANDONED = f".{'0' * 32}.tmp"


def names(folder: Path) -> list[str]:
    """Lists the names of the files in a folder."""
    return sorted(one.name for one in folder.iterdir())


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("set", "set.manifest", "other"):
        (tmp_path / f"{name}{ABANDONED}").touch()
    (tmp_path / "set.backup.tmp").touch()
    finals = [str(tmp_path / name) for name in ("set", "set.manifest")]
    with scratch(LOCAL, finals):
        kept = [name for name in names(tmp_path) if ABANDONED in name or "backup" in name]
        assert kept == [f"other{ABANDONED}", "set.backup.tmp"]
    assert names(tmp_path) == [f"other{ABANDONED}", "set.backup.tmp"]


def test_a_living_run_keeps_its_file(tmp_path: Path) -> None:
    final = str(tmp_path / "set")
    with scratch(LOCAL, [final]) as (first,):
        with scratch(LOCAL, [final]) as (second,):
            assert names(tmp_path) == sorted(Path(one).name for one in (first, second))
        assert names(tmp_path) == [Path(first).name]
    assert names(tmp_path) == []


def test_folders_are_told_apart_as_files_are(tmp_path: Path) -> None:
    final, abandoned = str(tmp_path / "set"), tmp_path / f"set{ABANDONED}"
    abandoned.mkdir()
    (abandoned / "part-00000.parquet").touch()
    with scratch(LOCAL, [final], folder=True) as (first,):
        with scratch(LOCAL, [final], folder=True) as (second,):
            assert names(tmp_path) == sorted(Path(one).name for one in (first, second))
            (Path(second) / "part-00000.parquet").touch()
        assert names(tmp_path) == [Path(first).name]
    assert names(tmp_path) == []


def test_behind_a_url_nothing_is_looked_for() -> None:
    files = fsspec.filesystem("memory")
    with scratch(files, ["/scratch/set"]) as (name,):
        files.pipe_file(name, b"x")
        assert files.exists(name)
    assert not files.exists(name)


@pytest.mark.slow
def test_a_feature_that_an_apply_did_not_come_to_fill_is_filled_by_the_next(
    database: str,
    small_months: Path,
    new_feature: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    with recorded("materialize") as run:
        materialize(run)
    for name, value in new_feature.items():
        monkeypatch.setenv(name, value)

    def lost(*_: object) -> None:
        raise StreamflowError("PostgreSQL: gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying, "fill", lost)
        with pytest.raises(StreamflowError, match="gone"):
            applying.apply()
    column = 'SELECT count("subs_profile_fv:contract_type") FROM online."streamflow:user_id"'
    assert execute(column) == [(0,)]
    assert str(applying.plan()) == "~ online tables as the registry says"
    what, _ = applying.apply()
    assert str(what) == "~ online tables as the registry says"
    assert execute(column) == [(50,)]
    assert str(applying.apply()[0]).startswith("nothing to do")


def test_how_a_command_ended_last(database: str) -> None:
    def last() -> str:
        with connect() as connection:
            return last_outcome(connection, "apply")

    assert last() == ""
    with recorded("apply"):
        assert last() == "running"
    assert last() == "done"
    execute("UPDATE ops.runs SET outcome = 'running'")
    assert last() == "killed"
    with recorded("ingest"):
        assert last() == "killed"
