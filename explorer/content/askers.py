"""The callers of a feature service, and the API keys that may ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from explorer.queries.callers import Requests
from explorer.settings import PREFIX
from streamflow.api_keys import Key, read
from streamflow.errors import ConfigurationError

VARIABLE = f"{PREFIX}API_KEYS_DIR"
WITHOUT_KEY = "without a key"
WITH_A_KEY = "with a key"
"""Stands for all keys where no names are shown."""
ALL = "every service, and single features"
SOME = "services that are named, this one among them"
NONE = "not this service, or is no key any more"


@dataclass(frozen=True)
class Asker:
    """A caller of a service, or a key that may be one."""

    name: str
    """Of its API key, or how it asks in words."""
    may: str
    """The services that it may ask for, in words; empty where they are not known."""
    asked: Sequence[Requests] = ()
    """By contract, the last first; empty where it never did."""

    @property
    def requests(self) -> int:
        """Requests for any contract of the service."""
        return sum(one.requests for one in self.asked)

    @property
    def last_at(self) -> datetime | None:
        """When it asked last, to the minute; None for never."""
        return max((one.last_at for one in self.asked), default=None)


@dataclass(frozen=True)
class Askers:
    """Those who asked, the last first, then the keys that may ask and never did, by name."""

    every: Sequence[Asker]
    knows_keys: bool = False
    fault: str = ""
    """The reason why the keys cannot be read, in words."""


def askers_of(folder: Path | None, service: str, requests: Sequence[Requests]) -> Askers:
    """The askers of a service; without names of keys where no folder of keys is set.

    Args:
        folder: of the API's keys.
        service: that is asked for.
        requests: that were noted, the last first.
    """
    if folder is None:
        names = [WITH_A_KEY if one.caller else WITHOUT_KEY for one in requests]
        return Askers(joined(names, requests, {}))
    try:
        keys = read(folder, VARIABLE)
    except ConfigurationError as error:
        return Askers(joined(names_of(requests), requests, {}), fault=str(error))
    may = allowed(keys, service)
    silent = sorted(may.keys() - {one.caller for one in requests})
    asking = joined(names_of(requests), requests, {WITHOUT_KEY: "", **may}, NONE)
    return Askers([*asking, *(Asker(name, may[name]) for name in silent)], knows_keys=True)


def names_of(requests: Sequence[Requests]) -> list[str]:
    """The name of each request's caller."""
    return [one.caller or WITHOUT_KEY for one in requests]


def joined(
    names: Sequence[str], requests: Sequence[Requests], may: dict[str, str], other: str = ""
) -> list[Asker]:
    """An asker for each name, with the requests that have it."""
    by_name: dict[str, list[Requests]] = {}
    for name, one in zip(names, requests, strict=True):
        by_name.setdefault(name, []).append(one)
    return [Asker(name, may.get(name, other), found) for name, found in by_name.items()]


def allowed(keys: Sequence[Key], service: str) -> dict[str, str]:
    """The keys that may ask for a service, each with the services that it may ask for in words."""
    # Of one name there may be two, while a caller changes over.
    return {
        one.name: SOME if one.services else ALL
        for one in sorted(keys, key=lambda one: (one.name, not one.services))
        if not one.services or service in one.services
    }
