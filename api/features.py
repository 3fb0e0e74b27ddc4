"""The online features as plain functions: what the routes call, in front of the database."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from api import database, instants, keys
from api.answers import VALUES, Answers, Entry, Row
from api.cache import Cache
from api.errors import (
    Busy,
    ContractMismatch,
    InvalidRequest,
    NotReady,
    Outdated,
    RefusedByCatalog,
    public,
)
from api.follow import Follower
from api.plan import NO_KEY, Plan, Selection, plan_of
from api.pool import Pool
from api.reads import Reads
from api.settings import ApiSettings
from feature_repo import settings as shared
from feature_repo.catalog import Catalog
from feature_repo.errors import SchemaMissing, StoreUnavailable, UnknownName, UnknownUser

MOST_PLANS = 256
"""Selections whose plans are kept; the least recently used goes first."""
ATTEMPTS = 20
"""How often a request begins anew because the catalog is another one."""
NOBODY: dict[str, Any] = {"text": "nobody", "bytea": b"nobody", "boolean": False}
"""Keys that a probe reads, 0 for numbers; whether there is such a row makes no difference."""

Arrays = Sequence[Sequence[Any]]
T = TypeVar("T")


class Features:
    """The online features. Belongs to one event loop.

    `start` returns at once; until there is a catalog, and whenever the database is away later,
    the methods raise NotReady without waiting for it.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        own = shared.streamflow()
        connect = partial(database.connect, own.connect_timeout_s, settings.deadline_s)
        self.cache = Cache(settings.cache_users, settings.serve_stale)
        self.pool = Pool(max(own.pool_size - 1, 1), connect)
        self._probes = Pool(1, connect)  # beside the reads, which may all be waiting
        self.follower = Follower(
            settings, (self.pool, self._probes), self.cache, connect, self._probe
        )
        matches = self.follower.catalogs.matches
        self.reads = Reads(settings, self.pool, self.cache, matches, self._entry)
        self._probe_reads = Reads(settings, self._probes, self.cache, matches, self._entry)
        self._plans: OrderedDict[Selection, Plan] = OrderedDict()
        self._planned: Catalog | None = None
        self.found = self.unknown = 0
        """Users asked for, by whether any view had a row of them."""

    @property
    def is_ready(self) -> bool:
        """Whether the last look found everything in place."""
        return self.follower.reason is None and self.follower.away is None

    def start(self) -> None:
        """Begins to follow the database."""
        self.follower.start()

    async def close(self) -> None:
        """Closes all connections; reads under way fail."""
        await self.follower.close()
        await self.reads.close()
        for pool in (self.pool, self._probes):
            pool.close()

    async def one(self, user_id: str, selection: Selection, expected: Sequence[str] = ()) -> bytes:
        """The answer for one user.

        Args:
            user_id: a text also where the join key is none.
            selection: what is asked for; an empty service is the default one.
            expected: hashes of contracts, of which each has to be the selection's.

        Raises:
            UnknownUser: no view has a row.
            UnknownName, Unservable, OtherKeys, ContractMismatch: the catalog is not for it.
            InvalidRequest: the id cannot be one.
            StaleFeatures: the values are too old to be answered.
            NotReady: they cannot be read now.
        """
        return await self._attempts(partial(self._one, user_id, selection, expected))

    async def many(
        self, user_ids: Sequence[str], selection: Selection, expected: Sequence[str] = ()
    ) -> bytes:
        """The answer for many users, in one read; raises as `one` does."""
        return await self._attempts(partial(self._many, user_ids, selection, expected))

    async def rows(
        self,
        selection: Selection,
        expected: Sequence[str],
        arrays: Callable[[Plan, Catalog], Arrays],
    ) -> tuple[Plan, Catalog, list[Row]]:
        """The plan of a selection, the catalog, and the rows for the keys that `arrays` makes.

        Raises as `one` does, and what `arrays` raises.
        """

        async def read() -> tuple[Plan, Catalog, list[Row]]:
            catalog = self.follower.require()
            plan = self._plan(catalog, selection, expected)
            asked = arrays(plan, catalog)
            with self._watched():
                rows = await self.reads.many(plan, asked)
            self._count(plan, rows)
            return plan, catalog, rows

        return await self._attempts(read)

    async def ready(self) -> str | None:
        """Returns when the default service can be read; with what is amiss nevertheless.

        Raises:
            NotReady: says why it cannot.
        """
        self.follower.require()
        with self._watched():
            await self._probe()
        return self.follower.catalogs.newer

    async def _attempts(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, begun anew where the catalog turned out to be another one."""
        for _ in range(ATTEMPTS):
            try:
                return await work()
            except Outdated as error:
                await self._renew(error)
            except (RefusedByCatalog, UnknownName) as error:
                await self._confirm(error)
        raise NotReady("the catalog changes faster than it can be read")

    async def _renew(self, error: Outdated) -> None:
        """Returns when there is another catalog than the one that rows were asked by."""
        if self._version != error.version:
            return
        await self.follower.refresh()
        if self._version == error.version and isinstance(error.__cause__, SchemaMissing):
            why = self.follower.catalogs.newer or "the online tables are not there yet"
            raise NotReady(why) from error

    @property
    def _version(self) -> int | None:
        found = self.follower.catalogs.current
        return found.version if found else None

    async def _confirm(self, error: RefusedByCatalog | UnknownName) -> None:
        """Raises `error` unless the catalog that it came from is not the last one."""
        catalog = self.follower.catalogs.current
        if catalog is None or self.follower.away is not None:  # the best that is known
            raise error
        try:
            is_last = await self.follower.confirm(catalog)
        except NotReady:
            raise error from None
        if is_last:
            raise error

    async def _one(self, user_id: str, selection: Selection, expected: Sequence[str]) -> bytes:
        follower, keeps = self.follower, self.settings.serve_stale
        catalog = (follower.catalogs.current if keeps else None) or follower.require()
        plan = self._plan(catalog, selection, expected)
        key = self._key(plan, user_id, "path.user_id")
        now = instants.now()
        entry, is_kept = self.cache.get(plan, key, now), False
        if entry is None:
            try:
                follower.require()
                with self._watched():
                    entry, now = await self.reads.one(plan, key)
            except NotReady:
                now = instants.now()
                entry = self.cache.last_resort(plan, key, now) if keeps else None
                if entry is None:
                    raise
                is_kept = True
        if entry is None:
            self.unknown += 1
            raise UnknownUser(user_id)
        self.found += 1
        return self._answers(plan).one(entry, now, is_kept)

    async def _many(
        self, user_ids: Sequence[str], selection: Selection, expected: Sequence[str]
    ) -> bytes:
        if len(user_ids) > self.settings.max_users:
            raise InvalidRequest([("body.user_ids", f"more than {self.settings.max_users} users")])
        plan = self._plan(self.follower.require(), selection, expected)
        asked = [self._key(plan, id_, f"body.user_ids.{at}") for at, id_ in enumerate(user_ids)]
        distinct = list(dict.fromkeys(asked))
        with self._watched():
            rows = await self.reads.many(plan, plan.arrays(distinct))
        now = instants.now()
        entries = [self._entry(plan, *one, now) for one in zip(rows, distinct, strict=True)]
        if len(distinct) < len(asked):
            by_key = dict(zip(distinct, entries, strict=True))
            entries = [by_key[key] for key in asked]
        body = self._answers(plan).many(entries, user_ids, now)
        unknown = entries.count(None)
        self.unknown += unknown
        self.found += len(entries) - unknown
        return body

    def _plan(self, catalog: Catalog, selection: Selection, expected: Sequence[str]) -> Plan:
        if catalog is not self._planned:
            self._plans.clear()
            self._planned = catalog
        plan = self._plans.get(selection)
        if plan is None:
            wanted = selection
            if not selection.service and not selection.features:
                wanted = Selection(self.settings.service)
            plan = self._plans[selection] = plan_of(catalog, wanted)
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(selection)
        for one in expected:
            if one != plan.hash:
                raise ContractMismatch(one, plan.hash)
        return plan

    def _key(self, plan: Plan, user_id: str, where: str) -> Any:
        type_ = plan.only_key(self.settings.entity)
        return user_id if type_ == "text" else keys.from_text(user_id, type_, where)

    def _answers(self, plan: Plan) -> Answers:
        found: Answers | None = plan.forms.get(Answers)
        if found is None:
            found = plan.forms[Answers] = Answers(plan, self.settings.entity)
        return found

    def _entry(self, plan: Plan, row: Row, key: Any, now: int) -> Entry | None:
        return self._answers(plan).entry(row, keys.as_text(key), keys.as_json(key), now)

    async def _probe(self) -> None:
        """Reads the default service as a request would.

        Raises:
            NotReady, StoreUnavailable: it cannot be read.
        """
        await self._attempts(self._probe_once)

    async def _probe_once(self) -> None:
        catalog = self.follower.require()
        name = self.settings.service
        if name not in catalog.services:
            raise NotReady(f"the registry has no feature service {name}")
        try:
            plan = self._plan(catalog, Selection(name), ())
        except RefusedByCatalog as error:
            raise NotReady(str(error)) from error
        nobody = [
            ["" if key == NO_KEY else NOBODY.get(type_, 0)] for key, type_ in plan.keys.items()
        ]
        await self._probe_reads.many(plan, nobody)

    def _count(self, plan: Plan, rows: Sequence[Row]) -> None:
        times, missing = slice(VALUES, VALUES + len(plan.views)), len(plan.views)
        found = sum(row[times].count(None) < missing for row in rows)
        self.found += found
        self.unknown += len(rows) - found

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Translates the failures of a read, and has the database looked at."""
        try:
            yield
        except NotReady as error:
            if not isinstance(error, Busy):
                self.follower.doubt()
            raise
        except (StoreUnavailable, SchemaMissing) as error:
            self.follower.doubt()
            raise NotReady(public(error)) from error
