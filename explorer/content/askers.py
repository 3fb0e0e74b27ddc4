"""The API keys that may ask for a feature service."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.settings import PREFIX
from streamflow.api_keys import read
from streamflow.errors import ConfigurationError

VARIABLE = f"{PREFIX}API_KEYS_DIR"


@dataclass(frozen=True)
class Asker:
    """A key that may ask for a service."""

    name: str
    is_for_all: bool
    """True where it is limited to no service."""


@dataclass(frozen=True)
class Askers:
    """The keys of a service by name; none, and why, where they cannot be read."""

    keys: Sequence[Asker] = ()
    fault: str = ""


def askers_of(folder: Path | None, service: str) -> Askers | None:
    """The keys of a service; None where no folder of keys is set."""
    if folder is None:
        return None
    try:
        found = read(folder, VARIABLE)
    except ConfigurationError as error:
        return Askers(fault=str(error))
    # Of one name there may be two, while a caller changes over.
    allowed = {
        one.name: not one.services
        for one in sorted(found, key=lambda one: (one.name, not one.services))
        if not one.services or service in one.services
    }
    return Askers([Asker(name, is_for_all) for name, is_for_all in allowed.items()])
