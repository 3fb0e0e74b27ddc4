"""The versions that a run, a backup and a training set are recorded with."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version

from streamflow import settings


@cache
def versions() -> dict[str, str]:
    """The versions of StreamFlow (with its git commit), Feast and Python."""
    return {
        "streamflow": version("streamflow"),
        "commit": commit(),
        "feast": version("feast"),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The git commit of this code, with "+" after it when files differ, or "unknown"."""
    given = settings.streamflow().commit
    if given:
        return given
    git = ["git", "-C", str(settings.FEATURE_REPO), "describe", "--always", "--abbrev=12"]
    try:
        found = subprocess.run(  # noqa: S603  # a fixed command
            [*git, "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
