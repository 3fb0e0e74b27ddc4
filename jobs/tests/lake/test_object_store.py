"""A lake behind s3://, on a real S3 server: as from a folder, and what happens when it is away."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from jobs.tests.acting import done, streamflow
from jobs.tests.commands.test_once import lines
from jobs.tests.lake.test_lake import DAYS, build, failed, listed, load


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A server with the bucket `months`, where the lake is to be."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "a-key-of-the-lake",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-lake",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "STREAMFLOW_LAKE_URL": "s3://months/of/lake",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    wait_for(port)
    fsspec.filesystem("s3").mkdir("months")
    yield server
    stop(server)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def wait_for(port: int) -> None:
    """Returns when something listens at a port of this machine."""
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.1)
        else:
            return


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ends the server."""
    server.kill()
    server.wait()


@pytest.mark.slow  # an S3 server, and clients that wait for it
def test_it_is_read_as_from_a_folder_and_refused_while_it_is_away(
    database: str, small_months: Path, tmp_path: Path, s3: subprocess.Popen[bytes]
) -> None:
    for number, day in enumerate(DAYS[:2]):
        load(small_months / f"month_00{number}", day)
    assert all(location.startswith("s3://months/of/lake/source/") for *_, location in listed())
    out = tmp_path / "t.parquet"
    build(out, "--as-of", DAYS[1], "--from", "lake")
    said = done(streamflow("snapshot", "verify")).stdout
    assert said == "10 files, 500 rows, equal to the database\n"
    (location, *_) = (where for *_, where in listed())
    fsspec.filesystem("s3").pipe_file(location, fsspec.filesystem("s3").cat_file(location)[:-9])
    told = failed("training-set", "--as-of", DAYS[1], "--out", str(out), "--from", "lake")
    assert location in told
    lines(streamflow("snapshot", "export", "--as-of", DAYS[0], "--again"))
    done(streamflow("snapshot", "verify"))

    before = out.read_bytes()
    stop(s3)
    told = failed("training-set", "--as-of", DAYS[1], "--out", str(out), "--from", "lake")
    assert told.startswith("error: the lake at s3://months/of/lake cannot be used"), told
    assert "secret" not in told
    assert out.read_bytes() == before
    # The month itself is in the database, whatever became of the lake.
    assert "the lake" in failed("ingest", str(small_months / "month_001"), "--as-of", DAYS[2])
    lines(streamflow("training-set", "--as-of", DAYS[2], "--out", str(out)))
