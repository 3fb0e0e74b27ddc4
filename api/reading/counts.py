"""Counts of the requests for feature services, by contract and by who sent them."""

import time
from dataclasses import dataclass, field

MOST = 1000
"""Combinations of service, contract and caller that are counted apart. Services and contracts are
those of catalogs, callers those of the folder of keys; years of both would make too many."""
OTHERS = ("", "", "")
"""The combination under which all further ones are counted together."""

Who = tuple[str, str, str]
"""A service, the hash of a contract, and the name of the caller's key, empty for none."""


@dataclass(slots=True)
class Asking:
    """A request on its way, and what it turned out to ask for when it was tried last."""

    service: str = ""
    """Empty for single features, and for what is not there."""
    contract: str = ""
    is_superseded: bool = False
    """True where the service has another contract now."""


@dataclass
class RequestCounts:
    """Requests by who sent them, and the time of the last one. Belongs to one event loop."""

    counts: dict[Who, int] = field(default_factory=dict)
    last: dict[Who, float] = field(default_factory=dict)
    """Seconds since 1970."""

    def count(self, who: Who) -> None:
        """Count one request, be it answered or refused."""
        self._add(who, 1, time.time())

    def take(self) -> "RequestCounts":
        """Return the counts until now, and begin anew."""
        taken = RequestCounts(self.counts, self.last)
        self.counts, self.last = {}, {}
        return taken

    def add(self, others: "RequestCounts") -> None:
        """Count the requests of other counts as well."""
        for who, requests in others.counts.items():
            self._add(who, requests, others.last[who])

    def _add(self, who: Who, requests: int, last: float) -> None:
        if who not in self.counts and len(self.counts) >= MOST:
            who = OTHERS
        self.counts[who] = self.counts.get(who, 0) + requests
        self.last[who] = max(self.last.get(who, 0.0), last)
