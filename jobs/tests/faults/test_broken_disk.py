"""A full disk, of files or of the database: said so, nothing half, and done when there is room."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from drills import state
from drills.forks import Command, Ended, Forks
from drills.results import Result, choose, record
from jobs.sample.months import write_months
from jobs.tests.acting import databases_of, execute

pytestmark = pytest.mark.slow  # disks that are really full

TRAINING = ("training-set", "--as-of", "2024-01-31", "--out")
KIB = 1024
KNOWN = "0002-ORFBO"


def mount(folder: Path, kib: int) -> None:
    """Makes `folder` a file system of its own of so many KiB; without the right to, skips."""
    options = f"size={kib}k,mode=755"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("only root may mount a small file system")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = Path("/var/tmp") / f"small-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        mount(folder, 64)
        yield folder
        subprocess.run(["umount", folder], check=True)
    finally:
        folder.rmdir()


def failed(ended: Ended, *said: str) -> None:
    """Asserts that the command failed with 1 and one line that says why."""
    assert ended.code == 1, ended.errors
    assert all(one in ended.message for one in said), ended.errors
    assert "Traceback" not in ended.errors


def test_no_room_for_a_training_set(january: str, running: Forks, small_disk: Path) -> None:
    out = small_disk / "set.parquet"
    ballast(small_disk, leave_kib=4)
    failed(running.run_one(*TRAINING, str(out)), "cannot be written", "No space left on device")
    assert [one.name for one in small_disk.iterdir()] == ["ballast"]
    (small_disk / "ballast").unlink()
    assert running.run_one(*TRAINING, str(out)).code == 0
    assert running.run_one("verify", str(out)).code == 0
    record(Result("disk of training sets full", "`training-set`", 2, 0, None, 0))


def test_a_training_set_that_becomes_too_large(
    january: str, running: Forks, tmp_path: Path
) -> None:
    """The write fails early, or with the very last byte; the former file stays."""
    out = tmp_path / "set.parquet"
    assert running.run_one(*TRAINING, str(out)).code == 0
    size = out.stat().st_size
    assert running.run_one(*TRAINING, str(out), "--service", "profile_v1").code == 0
    before = state.files(tmp_path)
    for largest in (size // 2, size - 1):
        ended = running.run_one(*TRAINING, str(out), largest_file=largest)
        failed(ended, "cannot be written", "File too large")
        assert state.files(tmp_path) == before


def test_no_room_for_a_month_of_samples(running: Forks, small_disk: Path) -> None:
    ended = running.run_one("sample", "--out", str(small_disk), "--users", "5000")
    failed(ended, "cannot write", "No space left on device")
    assert list(small_disk.iterdir()) == []


def ballast(folder: Path, leave_kib: int) -> None:
    """Fills a disk up to so many KiB."""
    with (folder / "ballast").open("wb") as file:
        file.write(b"x" * max(shutil.disk_usage(folder).free - leave_kib * KIB, 0))


@pytest.fixture
def on_small_disk(
    pytestconfig: pytest.Config, server: dict[str, str], january: str, new_feature: dict[str, str]
) -> Iterator[tuple[str, Path]]:
    """A database like `january` on a file system of its own, and that; the server's is another."""
    folder = Path("/var/tmp") / f"small-{uuid.uuid4().hex}"
    folder.mkdir()
    space, name = f"{january}_space", f"{january}_small"
    data = folder / "data"
    admin = databases_of(pytestconfig).admin(server)
    try:
        mount(folder, 256 * KIB)
        owner = server_user(admin)
        data.mkdir()
        shutil.chown(data, owner.uids().real, owner.gids().real)
        admin.execute(f"CREATE TABLESPACE {space} LOCATION '{data}'")
        # Whole files: pages that are yet to be written would fail every checkpoint of the server.
        made = f"CREATE DATABASE {name} TEMPLATE {january} TABLESPACE {space}"
        admin.execute(f"{made} STRATEGY file_copy")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGDATABASE", name)
            yield name, folder
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.execute(f"DROP TABLESPACE {space}")
        subprocess.run(["umount", folder], check=True)
    finally:
        admin.close()
        folder.rmdir()


def server_user(admin: psycopg.Connection) -> psutil.Process:
    """The server's process, whose user has to own its files."""
    row = admin.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return psutil.Process(row[0])


def test_no_room_for_the_database(
    on_small_disk: tuple[str, Path], running: Forks, tmp_path: Path, new_feature: dict[str, str]
) -> None:
    _, disk = on_small_disk
    users = choose(2_000, 20_000)
    write_months(tmp_path / "months", users=users, months=2, seed=7)
    jobs = [
        Command(["ingest", str(tmp_path / "months" / "month_001"), "--as-of", "2024-02-29"]),
        Command(["materialize"]),
        Command(["apply"], new_feature),
    ]
    recovered = 0.0
    for command in jobs:
        before = state.contents()
        execute("CHECKPOINT")
        with psycopg.connect() as reader:
            ballast(disk, leave_kib=64)
            (ended,) = running.run(command)
            reader.execute('SELECT FROM online."streamflow:user_id"')  # reading needs no room
        (disk / "ballast").unlink()
        if command.arguments[0] != "apply":
            failed(ended, "No space left on device")
            assert state.differences(state.contents(), before) == {}
        assert state.held_locks() == []
        (ended,) = running.run(command)
        assert ended.code == 0, ended.errors
        recovered = max(recovered, ended.seconds)
    record(Result("disk of the database full", "each job once", len(jobs), 0, recovered, 0))


def test_no_room_for_a_connection(on_small_disk: tuple[str, Path], running: Forks) -> None:
    """PostgreSQL writes a file for the first connection after a vacuum of its catalog."""
    _, disk = on_small_disk
    assert running.run_one("materialize").code == 0
    execute("CHECKPOINT")
    ballast(disk, leave_kib=8)
    assert running.run_one("features", KNOWN).code == 0
    (catalog,) = disk.rglob("pg_internal.init")
    catalog.unlink()
    ballast(disk, leave_kib=8)
    failed(running.run_one("features", KNOWN), "No space left on device")
    (disk / "ballast").unlink()
    assert running.run_one("features", KNOWN).code == 0
