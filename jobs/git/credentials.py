"""Reads what a git server wants to see, from a folder with a file for each, as a Secret is mounted.

The names are those of Kubernetes' own Secrets for a user with a password, and for a key of ssh.
"""

from dataclasses import dataclass
from pathlib import Path

from streamflow.errors import ConfigurationError, shorten

USERNAME, PASSWORD, KEY, KNOWN_HOSTS, AUTHORITY = (
    "username",
    "password",
    "ssh-privatekey",
    "known_hosts",
    "ca.crt",
)
NAMES = (USERNAME, PASSWORD, KEY, KNOWN_HOSTS, AUTHORITY)
ANYBODY = "git"
"""The user where only a token is given, of which most servers ask no more."""


@dataclass(frozen=True)
class Credentials:
    """Credentials for a git server; empty where there is none of a kind."""

    folder: Path | None = None
    username: str = ""
    password: str = ""

    def file(self, name: str) -> Path | None:
        """The path of a file of the folder; None where it is not there."""
        path = self.folder / name if self.folder else None
        return path if path and path.is_file() else None


def read(folder: Path | None) -> Credentials:
    """Reads the credentials of a folder; none where no folder is given.

    Raises:
        ConfigurationError: it cannot be read, or has none of the files.
    """
    if folder is None:
        return Credentials()
    try:
        found = {one.name for one in folder.iterdir()}
        texts = {
            name: (folder / name).read_text(encoding="utf-8").strip()
            for name in (USERNAME, PASSWORD)
            if name in found
        }
    except OSError as error:
        raise ConfigurationError(f"credentials {folder}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"credentials {folder}: {USERNAME} or {PASSWORD} is no text in UTF-8"
        ) from None
    if not found & set(NAMES):
        raise ConfigurationError(
            f"credentials {folder} has none of {', '.join(NAMES)}; it has:"
            f" {shorten(', '.join(sorted(one for one in found if not one.startswith('..'))))}"
        )
    user = texts.get(USERNAME, "")
    if PASSWORD in texts:
        user = user or ANYBODY
    return Credentials(folder, user, texts.get(PASSWORD, ""))
