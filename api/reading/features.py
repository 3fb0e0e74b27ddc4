"""The online features as plain functions: what the routes call, in front of the database."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from api.answer import instants
from api.answer import join_keys as keys
from api.answer.rows import VALUES, Answers, Entry, Row
from api.errors import Busy, NotReady, public
from api.postgres.connect import connect
from api.postgres.pool import Pool
from api.postgres.session import Rows
from api.reading.batch import Reads
from api.reading.cache import Cache
from api.reading.follow import Follower
from api.reading.plan import Plan, Selection, service_of
from api.reading.plan_cache import Plans
from api.reading.readiness import Readiness
from api.reading.refusals import Refusals
from api.reading.retry import Attempts
from api.settings import ApiSettings
from streamflow import settings as shared
from streamflow.catalog.contract import Contract
from streamflow.catalog.model import Catalog, Service
from streamflow.errors import SchemaMissing, StoreUnavailable, UnknownUser
from streamflow.postgres.options import has_sessions


class Entities(Protocol):
    """Rows that a request asks for, whose join keys the plan of its features names."""

    def __len__(self) -> int:
        """How many."""

    def arrays(self, plan: Plan, catalog: Catalog) -> Sequence[Sequence[Any]]:
        """The arguments of the plan's query; raises InvalidRequest."""


class Features:
    """The online features. Belongs to one event loop.

    `start` returns at once; until there is a catalog, and whenever the database is away later,
    the methods raise NotReady without waiting for it.
    """

    def __init__(self, settings: ApiSettings, kind: type[Reads] = Reads) -> None:
        self.settings = settings
        own = shared.streamflow()
        opened = partial(connect, own.connect_timeout_s, settings.deadline_s)
        listening = partial(opened, direct=True) if has_sessions() else None
        self.cache = Cache(settings.cache_users, settings.serve_stale)
        # One connection is beside those of the reads, which may all be waiting.
        self._pools = (Pool(max(own.pool_size - 1, 1), opened), Pool(1, opened))
        self.follower = Follower(settings, self._pools, self.cache, opened, self._probe, listening)
        matches = self.follower.catalogs.matches
        self.reads, probes = (
            kind(settings, pool, self.cache, matches, self._entry) for pool in self._pools
        )
        self._refusals = Refusals(self.follower, self.reads)
        self._attempts = Attempts(self.follower, self._refusals)
        self._plans = Plans(settings.service)
        self._readiness = Readiness(
            settings, self.follower, self._attempts, self._plans.find, probes
        )
        self.found = self.unknown = 0
        """Users asked for, by whether any view had a row of them."""

    @property
    def pool(self) -> Pool:
        """The connections that requests read with."""
        return self._pools[0]

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
        await self._refusals.close()
        await self._readiness.close()
        await self.reads.close()
        for pool in self._pools:
            pool.close()

    async def one(self, user_id: str, selection: Selection, expected: Sequence[str] = ()) -> bytes:
        """The answer for one user.

        Args:
            user_id: a text also where the join key is none.
            selection: what is asked for; an empty one is the default service.
            expected: hashes of contracts, of which each has to be the selection's.

        Raises:
            UnknownUser: no view has a row.
            UnknownName, Unservable, OtherKeys, ContractMismatch: the catalog is not for it.
            InvalidRequest: the id cannot be one.
            StaleFeatures: the values are too old to be answered.
            NotReady: they cannot be read now.
        """
        return await self._attempts.of(partial(self._one, user_id, selection, expected))

    async def many(
        self, user_ids: Sequence[Any], selection: Selection, expected: Sequence[str] = ()
    ) -> bytes:
        """The answer for many users, in one read; raises as `one` does.

        Args:
            user_ids: as they stand in JSON.
            selection, expected: as `one` takes them.
        """
        keys.require_few(len(user_ids), self.settings.max_users, "body.user_ids", "users")
        return await self._attempts.of(partial(self._many, user_ids, selection, expected))

    async def rows(
        self,
        selection: Selection,
        expected: Sequence[str],
        entities: Entities,
    ) -> tuple[Plan, Catalog, list[Row]]:
        """The plan of a selection, the catalog, and the rows of `entities`.

        Raises as `one` does, and what `entities` raises.
        """
        return await self._attempts.of(partial(self._rows, selection, expected, entities))

    async def ask(self, query: str, seconds: float) -> Rows:
        """The rows of a query of the service's own, in so many seconds at most.

        Raises:
            NotReady, StoreUnavailable, SchemaMissing: there is no answer.
        """
        ends = asyncio.get_running_loop().time() + seconds
        return await self.pool.fetch(query, (), ends)

    async def ready(self) -> str | None:
        """Returns when the default service can be read; with what is amiss nevertheless.

        The read began after this was called, and is shared by all who call meanwhile.

        Raises:
            NotReady: says why it cannot.
        """
        self.follower.require()
        with self._watched():
            await self._readiness.require()
        return self.follower.catalogs.newer

    async def service(self, name: str) -> tuple[Service, Contract]:
        """A feature service with its contract.

        Raises:
            UnknownName: the last catalog has no such service.
            NotReady: the catalog cannot be read now.
        """
        return await self._attempts.of(partial(self._service, name))

    async def _one(self, user_id: str, selection: Selection, expected: Sequence[str]) -> bytes:
        keeps = self.settings.serve_stale
        catalog = (self.follower.catalogs.current if keeps else None) or self.follower.require()
        plan = self._plans.find(catalog, selection, expected)
        type_ = plan.only_key(self.settings.join_key)
        key = user_id if type_ == "text" else keys.from_text(user_id, type_, "path.user_id")
        now = instants.now()
        entry, is_kept = self.cache.get(plan, key, now), False
        if entry is None:
            try:
                self.follower.require()
                with self._watched():
                    entry, now = await self.reads.one(plan, key)
            except NotReady:
                now = instants.now()
                entry, is_kept = self.cache.last_resort(plan, key, now) if keeps else None, True
                if entry is None:
                    raise
        if entry is None:
            self.unknown += 1
            raise UnknownUser(user_id)
        self.found += 1
        return self._answers(plan).one(entry, now, is_kept)

    async def _many(
        self, user_ids: Sequence[Any], selection: Selection, expected: Sequence[str]
    ) -> bytes:
        plan = self._plans.find(self.follower.require(), selection, expected)
        asked = keys.from_json(user_ids, plan.only_key(self.settings.join_key), "body.user_ids")
        distinct = list(dict.fromkeys(asked))
        with self._watched():
            rows = await self.reads.many(plan, plan.arrays(distinct))
        now = instants.now()
        entries = [self._entry(plan, *one, now) for one in zip(rows, distinct, strict=True)]
        if len(distinct) < len(asked):
            by_key = dict(zip(distinct, entries, strict=True))
            entries = [by_key[key] for key in asked]
        body = self._answers(plan).many(entries, asked, now)
        self._count(len(entries), entries.count(None))
        return body

    async def _rows(
        self,
        selection: Selection,
        expected: Sequence[str],
        entities: Entities,
    ) -> tuple[Plan, Catalog, list[Row]]:
        catalog = self.follower.require()
        plan = self._plans.find(catalog, selection, expected)
        asked = entities.arrays(plan, catalog)
        with self._watched():
            rows = await self.reads.many(plan, asked)
        times, count = slice(VALUES, VALUES + len(plan.views)), len(plan.views)
        self._count(len(rows), sum(row[times].count(None) == count for row in rows))
        return plan, catalog, rows

    def _count(self, users: int, unknown: int) -> None:
        self.unknown += unknown
        self.found += users - unknown

    def _answers(self, plan: Plan) -> Answers:
        found: Answers | None = plan.forms.get(Answers)
        if found is None:
            found = plan.forms[Answers] = Answers(plan, self.settings.join_key)
        return found

    def _entry(self, plan: Plan, row: Row, key: Any, now: int) -> Entry | None:
        return self._answers(plan).entry(row, keys.as_text(key), keys.as_json(key), now)

    async def _service(self, name: str) -> tuple[Service, Contract]:
        catalog = self.follower.require()
        return service_of(catalog, name), catalog.contracts[name]

    async def _probe(self) -> None:
        await self._readiness.probe()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Translates the failures of a read, and has the database looked at."""
        try:
            yield
        except Busy:
            raise
        except NotReady:
            self.follower.doubt()
            raise
        except (StoreUnavailable, SchemaMissing) as error:
            self.follower.doubt()
            raise NotReady(public(error)) from error
