"""Counts of requests for contracts that their services had before, by who sent them."""

import time

MOST = 1000
"""Combinations of service, contract and caller that are counted apart. Services and contracts are
those of catalogs, callers those of the folder of keys; years of both would make too many."""
OTHERS = ("", "", "")
"""The combination under which all further ones are counted together."""

Who = tuple[str, str, str]
"""A service, the hash of a contract, and the name of the caller's key, empty for none."""


class SupersededRequests:
    """Counts, and the time of the last one, since the process began. Belongs to one event loop."""

    def __init__(self) -> None:
        self.counts: dict[Who, int] = {}
        self.last: dict[Who, float] = {}
        """Seconds since 1970."""

    def count(self, service: str, contract: str, caller: str) -> None:
        """Count one request, be it answered or refused."""
        who = (service, contract, caller)
        if who not in self.counts and len(self.counts) >= MOST:
            who = OTHERS
        self.counts[who] = self.counts.get(who, 0) + 1
        self.last[who] = time.time()
