"""Looks up what is pinned in PyPI's database of known faults; `make audit`, and in `make check`.

Where that database cannot be reached it says so and ends with 0: it is no fault of the pins.
"""

import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PROBE = "https://pypi.org/pypi/pip/20.0/json"
"""A release with known faults."""


def main() -> int:
    """Audits the pins of both images and of development; gives pip-audit's exit code."""
    try:
        with urlopen(PROBE, timeout=10) as answer:
            reason = "" if b'"vulnerabilities":[{' in answer.read() else "it knows no faults"
    except (URLError, OSError) as error:
        reason = str(error)
    if reason:
        print(f"pins not audited: {PROBE}: {reason}", file=sys.stderr)
        return 0
    here = Path(__file__).parent
    pins = [f"--requirement={here / name}.txt" for name in ("api", "jobs", "dev", "uv", "build")]
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", *pins]
    return subprocess.run(command).returncode  # noqa: S603  # nothing in it comes from outside


if __name__ == "__main__":
    sys.exit(main())
