"""The online features: answers from the cache or the database, as the routes ask for them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from api.answer import instants, join_keys
from api.answer.request_values import given_to
from api.answer.rows import answers_of, is_unknown
from api.errors import Busy, NotReady, public_reason
from api.plans.plan import Plan, Selection
from api.plans.planning import service_of
from api.postgres.connect import connect
from api.postgres.pool import Pool
from api.postgres.replica import ReplicaPool, replicas_of
from api.postgres.session import Rows, deadline
from api.reading.availability import Availability
from api.reading.batch import Reads, lag_of
from api.reading.cache import Cache
from api.reading.catalog_reader import CatalogReader
from api.reading.counts import Asking, RequestCounts
from api.reading.heartbeat import Heartbeat
from api.reading.notifications import Notifications
from api.reading.plan_cache import PlanCache
from api.reading.reader import NOTHING, Answerable, Entities, Inputs
from api.reading.readiness import Readiness
from api.reading.retry import CatalogRetry, Confirmations
from api.reading.state import State
from api.settings import ApiSettings
from streamflow import settings as shared
from streamflow.catalog.contract import Contract
from streamflow.catalog.model import Catalog, Service
from streamflow.errors import SchemaMissing, StoreUnavailable, UnknownUser
from streamflow.postgres.options import has_sessions

T = TypeVar("T")
MOST_ASKING = 2
"""Connections to the primary for the catalog and the run ledger, where features are read from a
replica."""


class Features:
    """The online features, a FeatureReader. Belongs to one event loop.

    `start` returns at once; until there is a catalog, and whenever the database is away later,
    the methods raise NotReady without waiting for it.
    """

    def __init__(self, settings: ApiSettings, reads_class: type[Reads] = Reads) -> None:
        self.settings = settings
        own = shared.streamflow()
        opened = partial(connect, own.connect_timeout_s, settings.deadline_s)
        self.state = state = State(settings.project)
        self.replicas = replicas = replicas_of(settings, opened)
        # A write may be heard of before a replica has it: what is read then would stay for good.
        kept = 0 if replicas else settings.cache_users
        self.cache = cache = Cache(kept, settings.serve_stale)
        # Probes have a connection of their own, since those of the reads may all be waiting.
        sizes = (max(own.pool_size - 1, 1), 1)
        if replicas is None:
            self._pools = [Pool(size, opened) for size in sizes]
            asked = self._pools[0]
        else:
            asked = Pool(MOST_ASKING, opened)
            self._pools = [*(ReplicaPool(size, replicas.open) for size in sizes), asked]
        self._asked = asked
        self.reads, probes = (reads_class(settings, pool, cache, state) for pool in self._pools[:2])
        self.superseded, self.new_requests = RequestCounts(), RequestCounts()
        """Requests for contracts that services had before, since the process began; and those for
        any contract, since they were noted last."""
        self._plans = PlanCache(settings.service)
        self._catalog_reader = CatalogReader(settings, asked, cache, state)
        self._confirmations = Confirmations(state, self._catalog_reader, self.reads)
        self._retry = CatalogRetry(
            state, self._catalog_reader, self._confirmations, replicas is not None
        )
        self._readiness = Readiness(settings, state, self._retry, self._plans, probes)
        self._availability = Availability(
            settings.registry_refresh_s, state, self._catalog_reader, self._readiness, self._pools
        )
        notifications = None
        if has_sessions():
            listening = partial(opened, direct=True)
            notifications = Notifications(listening, settings.retry_s, cache, state)
        self._heartbeat = Heartbeat(
            opened,
            settings.retry_s,
            state,
            self._availability,
            notifications,
            replicas.primary if replicas else None,
        )
        self.users_found = self.users_unknown = 0
        """Users asked for of whom some view had a row, and those of whom none had."""

    @property
    def pool(self) -> Pool:
        """The connections that requests read with."""
        return self._pools[0]

    def start(self) -> None:
        """Begin to watch the database."""
        self._availability.start()
        self._heartbeat.start()

    async def close(self) -> None:
        """Close all connections; reads under way fail."""
        watching = (self._heartbeat, self._availability, self._catalog_reader)
        await asyncio.gather(*(one.close() for one in watching), return_exceptions=True)
        await self._confirmations.close()
        await self._readiness.close()
        await self.reads.close()
        for pool in self._pools:
            pool.close()

    async def one(
        self,
        user_id: str,
        selection: Selection,
        expected: Sequence[str] = (),
        caller: str = "",
        inputs: Inputs = NOTHING,
    ) -> tuple[bytes, Plan]:
        """The answer for one user; see FeatureReader."""
        work = partial(self._one, user_id, selection, expected, inputs)
        return await self._counted(work, caller)

    async def many(
        self,
        user_ids: Sequence[Any],
        selection: Selection,
        expected: Sequence[str] = (),
        caller: str = "",
        inputs: Inputs = NOTHING,
    ) -> tuple[bytes, Plan]:
        """The answer for many users; see FeatureReader."""
        most = self.settings.max_users
        join_keys.require_few(len(user_ids), most, "body.user_ids", "users")
        work = partial(self._many, user_ids, selection, expected, inputs)
        return await self._counted(work, caller)

    async def rows(
        self, selection: Selection, expected: Sequence[str], entities: Entities, caller: str = ""
    ) -> Answerable:
        """The plan of a selection, the catalog, and the rows of `entities`; see FeatureReader."""
        return await self._counted(partial(self._rows, selection, expected, entities), caller)

    async def service(self, name: str) -> tuple[Service, Contract]:
        """A feature service with its contract; see FeatureReader."""
        return await self._retry.call(partial(self._service, name))

    def catalog(self) -> Catalog:
        """The catalog that is served; raises NotReady where there is none."""
        return self.state.require_catalog()

    async def ready(self) -> str | None:
        """Return when the default service can be read; see FeatureReader."""
        self.state.require_catalog()
        with self._translated():
            await self._readiness.require()
        return self.state.unreadable_reason

    async def ask(self, query: str, seconds: float, *arguments: Any) -> Rows:
        """The rows of a query of the service's own, in so many seconds at most.

        Raises:
            NotReady, StoreUnavailable, SchemaMissing: there is no answer.
        """
        return await self._asked.fetch(query, arguments, deadline(seconds))

    async def write(self, query: str, seconds: float, *arguments: Any) -> Rows:
        """The rows of a query of the service's own that writes; raises as `ask` does."""
        return await self._asked.write(query, arguments, deadline(seconds))

    async def _counted(self, work: Callable[[Asking], Awaitable[T]], caller: str) -> T:
        """The result of `work`, which is run again where the catalog changes; counted once."""
        asking = Asking()
        try:
            return await self._retry.call(partial(work, asking))
        finally:
            if asking.service:
                who = asking.service, asking.contract, caller
                self.new_requests.count(who)
                if asking.is_superseded:
                    self.superseded.count(who)

    async def _one(
        self,
        user_id: str,
        selection: Selection,
        expected: Sequence[str],
        inputs: Inputs,
        asking: Asking,
    ) -> tuple[bytes, Plan]:
        keeps = self.settings.serve_stale
        catalog = (self.state.catalog if keeps else None) or self.state.require_catalog()
        plan = self._plans.find(catalog, selection, expected, asking)
        type_ = plan.only_key_type(self.settings.join_key)
        key = user_id if type_ == "text" else join_keys.from_text(user_id, type_, "path.user_id")
        given = given_to(plan.computed, inputs, 1, "query.input")
        now = instants.now()
        entry, is_kept, seen = self.cache.get(plan, key, now), False, None
        if entry is None:
            try:
                self.state.require_catalog()
                with self._translated():
                    entry, now, seen = await self.reads.one(plan, key)
            except NotReady:
                now = instants.now()
                entry, is_kept = self.cache.last_resort(plan, key, now) if keeps else None, True
                if entry is None:
                    raise
        if entry is None:
            self.users_unknown += 1
            raise UnknownUser(user_id)
        self.users_found += 1
        answers = answers_of(plan, self.settings.join_key)
        own = given[0] if given else ()
        return answers.one(entry, now, is_kept, own, lag_of(seen)), plan

    async def _many(
        self,
        user_ids: Sequence[Any],
        selection: Selection,
        expected: Sequence[str],
        inputs: Inputs,
        asking: Asking,
    ) -> tuple[bytes, Plan]:
        plan = self._plans.find(self.state.require_catalog(), selection, expected, asking)
        type_ = plan.only_key_type(self.settings.join_key)
        keys = join_keys.from_json(user_ids, type_, "body.user_ids")
        given = given_to(plan.computed, inputs, len(keys), "body.inputs")
        distinct = list(dict.fromkeys(keys))
        with self._translated():
            rows, seen = await self.reads.many(plan, plan.arrays(distinct))
        now = instants.now()
        entries = [
            self.reads.entry(plan, row, key, now) for row, key in zip(rows, distinct, strict=True)
        ]
        if len(distinct) < len(keys):
            by_key = dict(zip(distinct, entries, strict=True))
            entries = [by_key[key] for key in keys]
        body = answers_of(plan, self.settings.join_key).many(
            entries, keys, now, given, lag_of(seen)
        )
        self._count(len(entries), entries.count(None))
        return body, plan

    async def _rows(
        self, selection: Selection, expected: Sequence[str], entities: Entities, asking: Asking
    ) -> Answerable:
        catalog = self.state.require_catalog()
        plan = self._plans.find(catalog, selection, expected, asking)
        keys = entities.arrays(plan, catalog)
        with self._translated():
            rows, seen = await self.reads.many(plan, keys)
        self._count(len(rows), sum(is_unknown(plan, row) for row in rows))
        return Answerable(plan, catalog, rows, lag_of(seen))

    async def _service(self, name: str) -> tuple[Service, Contract]:
        catalog = self.state.require_catalog()
        return service_of(catalog, name), catalog.contracts[name]

    def _count(self, users: int, unknown: int) -> None:
        self.users_unknown += unknown
        self.users_found += users - unknown

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the failures of a read, and have the database looked at after one."""
        try:
            yield
        except Busy:
            raise
        except NotReady:
            self.state.doubt()
            raise
        except (StoreUnavailable, SchemaMissing) as error:
            self.state.doubt()
            raise NotReady(public_reason(error)) from error
