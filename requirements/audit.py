"""Looks up what is pinned in PyPI's database of known faults; `make audit`, and in `make check`.

Where that database cannot be reached it says so and ends with 0: it is no fault of the pins.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

KNOWN = "pip==20.0"
"""A release with known faults: only where they are found does finding none mean anything."""


def main() -> int:
    """Audits the pins of both images and of development; gives pip-audit's exit code."""
    if reason := unreachable():
        print(f"pins not audited: {reason}", file=sys.stderr)
        return 0
    here = Path(__file__).parent
    pins = [f"--requirement={here / name}.txt" for name in ("api", "jobs", "dev", "uv", "build")]
    return pip_audit("--require-hashes", *pins).returncode


def unreachable() -> str:
    """The reason why the database of faults cannot be asked; empty if it answers."""
    with TemporaryDirectory() as folder:
        known = Path(folder) / "known.txt"
        known.write_text(KNOWN)
        options = ("--no-deps", "--format=json", "--progress-spinner=off")
        done = pip_audit(f"--requirement={known}", *options, capture_output=True)
    try:
        (found,) = json.loads(done.stdout)["dependencies"]
    except ValueError:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        return f"pip-audit ended with {done.returncode}: {said[-1]}"
    if found.get("vulns"):
        return ""
    return str(found.get("skip_reason", f"no fault is known of {KNOWN}, which has several"))


def pip_audit(*options: str, capture_output: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs pip-audit on files of pins, without a virtual environment for it."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", *options]
    return subprocess.run(command, capture_output=capture_output, text=True)  # noqa: S603  # our own words


if __name__ == "__main__":
    sys.exit(main())
