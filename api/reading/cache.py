"""The cache of answers, and when they may still be given.

The database notifies of every commit that wrote to an online table; the answers read from it are
then dropped. An answer is given only while it is known that such notifications arrive, and until
when all of them did: `notifications.py` has the service notified twice a second by itself. So no
answer is from before a commit that is STALENESS_S old.
"""

import time
from collections import OrderedDict
from typing import Any

from api.answer.rows import Entry
from api.plans.plan import Plan

STALENESS_S = 1.0
"""Seconds after a commit from which on no answer is from before it: of notifications, queries or
the way to the database, whatever fails, stops or is late."""

Key = tuple[Plan, Any]
Generation = tuple[int, int]


class Cache:
    """At most `limit` entries of all selections, the least recently used given up first."""

    def __init__(self, limit: int, keeps_untrusted: bool) -> None:
        """
        Args:
            limit: entries, 0 to keep none.
            keeps_untrusted: whether entries are kept for `last_resort` that `get` may not give.
        """
        self.limit, self.keeps_untrusted = limit, keeps_untrusted
        self.hits = self.misses = self.invalidations = 0
        self._tables: dict[str, OrderedDict[Key, tuple[Entry, Generation]]] = {}
        self._count = 0
        self._writes: dict[str, int] = {}
        self._era = 0
        self._heard_until = float("-inf")

    def __len__(self) -> int:
        return self._count

    def trust_until(self, moment: float) -> None:
        """Note that all commits before `moment` (of time.monotonic) were heard of."""
        self._heard_until = moment

    @property
    def is_trusted(self) -> bool:
        """True while it is known that notifications arrive, so that entries may be given."""
        return time.monotonic() - self._heard_until <= STALENESS_S

    def generation(self, plan: Plan) -> Generation:
        """A mark of this moment, to be taken before a query is sent; `put` wants it."""
        return self._era, sum(self._writes.get(table, 0) for table in plan.tables)

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
        """Keep an entry unless one of its tables was written to since `generation`.

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

    def drop_table(self, table: str) -> None:
        """Drop what was read from `table`, since it was written to."""
        self._writes[table] = self._writes.get(table, 0) + 1
        self.invalidations += 1
        self._count -= len(self._tables.pop(table, ()))

    def distrust(self) -> None:
        """Give no entry any more, since writes may have gone unheard.

        They are dropped, unless they are kept for the time that the database is away.
        """
        self._heard_until = float("-inf")
        self._era += 1
        self.invalidations += 1
        if not self.keeps_untrusted:
            self.clear()

    def clear(self) -> None:
        """Drop all entries; those of queries under way, too."""
        self._era += 1
        self._tables.clear()
        self._count = 0
