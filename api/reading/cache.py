"""Answers that are kept, and when they are not true any more.

The database tells of every commit that wrote to an online table; the answers read from it are
then dropped. An answer is given only while it is known that such notifications arrive, and until
when all of them did: `notifications.py` has the service notified twice a second by itself. So no
answer is from before a commit that is STALENESS_S old.
"""

import time
from collections import OrderedDict
from typing import Any

from api.answer.rows import Entry
from api.reading.plan import Plan

STALENESS_S = 1.0
"""Seconds after a commit from which on no answer is from before it: of notifications, queries or
the way to the database, whatever fails, stops or is late."""

Key = tuple[Plan, Any]
Generation = tuple[int, int]


class Cache:
    """At most `limit` entries of all selections, the least recently used given up first."""

    def __init__(self, limit: int, keeps_untrusted: bool) -> None:
        self.limit, self.keeps_untrusted = limit, keeps_untrusted
        self.hits = self.misses = self.invalidations = 0
        self._tables: dict[str, OrderedDict[Key, tuple[Entry, Generation]]] = {}
        self._count = 0
        self._written: dict[str, int] = {}
        self._era = 0
        self._heard = float("-inf")

    def __len__(self) -> int:
        return self._count

    def heard(self, moment: float) -> None:
        """All commits before `moment` (of time.monotonic) were told."""
        self._heard = moment

    @property
    def is_trusted(self) -> bool:
        """Whether entries may be given."""
        return time.monotonic() - self._heard <= STALENESS_S

    def generation(self, plan: Plan) -> Generation:
        """To be taken before a query is sent; `put` wants it."""
        return self._era, sum(self._written.get(table, 0) for table in plan.tables)

    def get(self, plan: Plan, key: Any, now: int) -> Entry | None:
        """The entry of a row's key, where it is known to be what a query would give."""
        if not self.limit:
            return None
        found = self._find(plan, key, now)
        if found is not None and found[1][0] == self._era and self.is_trusted:
            self.hits += 1
            return found[0]
        self.misses += 1
        return None

    def last_resort(self, plan: Plan, key: Any, now: int) -> Entry | None:
        """The entry of a row's key, also one that may be outdated."""
        found = self._find(plan, key, now)
        return None if found is None else found[0]

    def _find(self, plan: Plan, key: Any, now: int) -> tuple[Entry, Generation] | None:
        table = self._tables.get(plan.tables[0])
        found = table.get((plan, key)) if table else None
        if table is None or found is None or not found[0].begins < now <= found[0].ends:
            return None
        table.move_to_end((plan, key))
        return found

    def put(self, plan: Plan, key: Any, entry: Entry, generation: Generation) -> None:
        """Keeps an entry unless one of its tables was written to since `generation`.

        Nor is one kept that nobody could be given, because writes may go unheard.
        """
        if not self.limit or len(plan.tables) > 1 or generation != self.generation(plan):
            return
        if not self.keeps_untrusted and not self.is_trusted:
            return
        table = self._tables.setdefault(plan.tables[0], OrderedDict())
        self._count += (plan, key) not in table
        table[plan, key] = (entry, generation)
        table.move_to_end((plan, key))
        while self._count > self.limit:
            crowded = table if len(table) > 1 else max(self._tables.values(), key=len)
            crowded.popitem(last=False)
            self._count -= 1

    def written(self, table: str) -> None:
        """Somebody wrote to `table`: drops what was read from it."""
        self._written[table] = self._written.get(table, 0) + 1
        self.invalidations += 1
        self._count -= len(self._tables.pop(table, ()))

    def distrust(self) -> None:
        """Writes may have gone unheard: no entry is given any more.

        They are dropped, unless they are kept for the time that the database is away.
        """
        self._heard = float("-inf")
        self._era += 1
        self.invalidations += 1
        if not self.keeps_untrusted:
            self.clear()

    def clear(self) -> None:
        """Drops all entries; those of queries under way, too."""
        self._era += 1
        self._tables.clear()
        self._count = 0
