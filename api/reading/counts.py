"""Counts of the requests for feature services, by contract and by who sent them."""

import time
from collections.abc import Mapping

MOST = 1000
"""Combinations of service, contract and caller that are counted apart. Services and contracts are
those of catalogs, callers those of the folder of keys; years of both would make too many."""
OTHERS = ("", "", "")
"""The combination under which all further ones are counted together."""

Who = tuple[str, str, str]
"""A service, the hash of a contract, and the name of the caller's key, empty for none."""


class SupersededRequests:
    """Requests for contracts that their services had before, and the time of the last one, since
    the process began. Belongs to one event loop."""

    def __init__(self) -> None:
        self.counts: dict[Who, int] = {}
        self.last: dict[Who, float] = {}
        """Seconds since 1970."""

    def count(self, who: Who) -> None:
        """Count one request, be it answered or refused."""
        self.last[add(self.counts, who)] = time.time()


class NewRequests:
    """Requests for contracts that services have or had, since they were taken last. Belongs to one
    event loop."""

    def __init__(self) -> None:
        self._counts: dict[Who, int] = {}

    def count(self, who: Who) -> None:
        """Count one request, be it answered or refused."""
        add(self._counts, who)

    def take(self) -> Mapping[Who, int]:
        """The counts, which begin anew."""
        taken, self._counts = self._counts, {}
        return taken

    def give_back(self, taken: Mapping[Who, int]) -> None:
        """Count again what was taken, since it could not be used."""
        for who, requests in taken.items():
            add(self._counts, who, requests)


def add(counts: dict[Who, int], who: Who, requests: int = 1) -> Who:
    """Add to the count of a combination, or of all others; gives which it was."""
    if who not in counts and len(counts) >= MOST:
        who = OTHERS
    counts[who] = counts.get(who, 0) + requests
    return who
