"""The packages that a command imports, in a process of its own."""

import subprocess
import sys


def imported_by(*arguments: str, code: int = 0) -> set[str]:
    """Runs a command, which has to end with `code`; the packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "jobs", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = done.stderr.splitlines()
    said = [one for one in lines if not one.startswith("import time:")]
    assert done.returncode == code, "\n".join(said)
    times = (one for one in lines if one.startswith("import time:"))
    return {one.rpartition("|")[2].strip().partition(".")[0] for one in times}
