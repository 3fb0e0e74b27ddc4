"""Who asks, and what of the online features that caller may have.

Only there where keys or a limit are configured; else every request has the features themselves.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any, Protocol

from starlette.types import Scope

from api.access import api_keys as bearer
from api.access.rate_limit import Bucket
from api.answer import join_keys as keys
from api.answer.rows import Row
from api.errors import Forbidden, RateLimited
from api.reading.background import Background
from api.reading.features import Entities, Features
from api.reading.plan import Plan, Selection
from streamflow.catalog.contract import Contract
from streamflow.catalog.model import Catalog, Service
from streamflow.errors import ConfigurationError

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks into the folder of keys."""
MOST_ADDRESSES = 10_000
"""Client addresses whose buckets are kept, some hundred bytes each; who was away longest goes
first, and begins with a full bucket again."""


class Caller:
    """The online features as one caller may read them; the methods are those of `Features`.

    What is asked for is paid for, also where the answer is a problem.
    """

    __slots__ = ("_bucket", "_features", "follower", "name", "services", "settings")

    def __init__(
        self,
        features: Features,
        name: str = "",
        services: frozenset[str] = frozenset(),
        bucket: Bucket | None = None,
    ) -> None:
        """
        Args:
            features: all of them.
            name: of the caller's key, empty where keys are not asked for.
            services: feature services it may ask for; empty for everything.
            bucket: what limits it.
        """
        self._features, self._bucket = features, bucket
        self.name, self.services = name, services
        self.settings, self.follower = features.settings, features.follower

    async def one(self, user_id: str, selection: Selection, expected: Sequence[str] = ()) -> bytes:
        """As `Features.one`; raises Forbidden and RateLimited besides."""
        self._require(selection)
        self._pay(1)
        return await self._features.one(user_id, selection, expected)

    async def many(
        self, user_ids: Sequence[Any], selection: Selection, expected: Sequence[str] = ()
    ) -> bytes:
        """As `Features.many`; raises Forbidden and RateLimited besides."""
        self._require(selection)
        keys.require_few(len(user_ids), self.settings.max_users, "body.user_ids", "users")
        self._pay(len(user_ids))
        return await self._features.many(user_ids, selection, expected)

    async def rows(
        self,
        selection: Selection,
        expected: Sequence[str],
        entities: Entities,
    ) -> tuple[Plan, Catalog, list[Row]]:
        """As `Features.rows`; raises Forbidden and RateLimited besides."""
        self._require(selection)
        self._pay(len(entities))
        return await self._features.rows(selection, expected, entities)

    async def service(self, name: str) -> tuple[Service, Contract]:
        """As `Features.service`; every caller may know what there is."""
        return await self._features.service(name)

    def _require(self, selection: Selection) -> None:
        if not self.services:
            return
        whole = ", ".join(sorted(self.services))
        if selection.features:
            raise Forbidden(
                f"key {self.name} may ask for whole feature services, of which it has: {whole}"
            )
        service = selection.service or self.settings.service
        if service not in self.services:
            raise Forbidden(f"key {self.name} is not for that feature service, only for: {whole}")

    def _pay(self, users: int) -> None:
        if self._bucket is None:
            return
        seconds = self._bucket.take(users)
        if seconds:
            raise RateLimited(ceil(seconds))


Readable = Features | Caller
"""What a request reads from; the state of the request has it as `features`."""


class Callers(Protocol):
    """Finds out who asks."""

    def of(self, scope: Scope) -> Caller:
        """Who sends this request; raises Unauthorized."""

    def start(self) -> None:
        """Begins to follow what changes."""

    async def close(self) -> None:
        """Ends that."""


class Addresses:
    """Callers by the address that they come from, each with a bucket. For one event loop."""

    def __init__(self, features: Features, bucket: Callable[[], Bucket | None]) -> None:
        self._features, self._bucket = features, bucket
        self._known: OrderedDict[str, Caller] = OrderedDict()

    def of(self, scope: Scope) -> Caller:
        """Who sends this request."""
        client = scope.get("client")
        address = client[0] if client else ""
        found = self._known.get(address)
        if found is not None:
            self._known.move_to_end(address)
            return found
        found = self._known[address] = Caller(self._features, bucket=self._bucket())
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)
        return found

    def __len__(self) -> int:
        return len(self._known)

    def start(self) -> None:
        """Nothing is followed."""

    async def close(self) -> None:
        """Nothing is open."""


class Keyed(Background):
    """Callers by their keys, read anew when the folder changes. Belongs to one event loop.

    Raises:
        ConfigurationError: the folder has no keys, or a file is not as it should be.
    """

    def __init__(
        self, features: Features, folder: Path, bucket: Callable[[], Bucket | None]
    ) -> None:
        self._features, self._folder, self._bucket = features, folder, bucket
        self._keys = bearer.read(folder)
        self._buckets: dict[str, Bucket | None] = {}
        self._known = self._callers()
        self.fault: str | None = None
        """Why the folder cannot be read now; the keys that it had before stay."""

    def of(self, scope: Scope) -> Caller:
        """Whose key a request has; raises Unauthorized."""
        return bearer.owner_of(bearer.digest_of(scope["headers"]), self._known)

    def __len__(self) -> int:
        return len(self._keys)

    async def _follow(self) -> None:
        """Looks into the folder every LOOK_S seconds."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                # In a thread, since a folder may be behind a network.
                found = await asyncio.to_thread(bearer.read, self._folder)
            except ConfigurationError as error:
                if self.fault != str(error):
                    log.warning("API keys not read, those of before stay", extra={"reason": error})
                self.fault = str(error)
                continue
            if self.fault or found != self._keys:
                names = ",".join(dict.fromkeys(key.name for key in found))
                log.info("API keys read", extra={"keys": len(found), "names": names})
                self.fault, self._keys = None, found
                self._known = self._callers()

    def _callers(self) -> list[tuple[bytes, Caller]]:
        """A caller for each key; keys of one name share a bucket, which outlives the reading."""
        names = dict.fromkeys(key.name for key in self._keys)
        self._buckets = {name: self._buckets.get(name) or self._bucket() for name in names}
        return [
            (key.digest, Caller(self._features, key.name, key.services, self._buckets[key.name]))
            for key in self._keys
        ]
