"""Callers: API keys or client addresses, each with the features that it may ask for.

They are used only where keys or a limit are configured; else every request reads all features.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any, Protocol

from starlette.types import Scope

from api.access import api_keys
from api.answer.join_keys import require_few
from api.background import BackgroundTask
from api.errors import Forbidden, RateLimited
from api.plans.plan import Plan, Selection
from api.reading.reader import NOTHING, Answerable, Entities, FeatureReader, Inputs
from api.token_bucket import TokenBucket
from streamflow.api_keys import read
from streamflow.catalog.contract import Contract, service_by_default
from streamflow.catalog.model import Catalog, Service
from streamflow.errors import ConfigurationError

log = logging.getLogger(__name__)

VARIABLE = "STREAMFLOW_API_KEYS_DIR"
FOLDER_CHECK_S = 1.0
"""Seconds between two readings of the folder of keys."""
MOST_ADDRESSES = 10_000
"""Client addresses whose buckets are kept, some hundred bytes each; the one not seen for
longest goes first, and begins with a full bucket again."""
NewBucket = Callable[[], TokenBucket | None]
"""Makes the bucket of a new caller; None where there is no limit."""


class Caller:
    """The online features as one caller may read them, a FeatureReader.

    Users that are asked for count against the limit, also where the answer is a problem.
    """

    __slots__ = ("_bucket", "_features", "name", "services", "settings")

    def __init__(
        self,
        features: FeatureReader,
        name: str = "",
        services: frozenset[str] = frozenset(),
        bucket: TokenBucket | None = None,
    ) -> None:
        """
        Args:
            features: all of them.
            name: of the caller's key, empty where keys are not asked for.
            services: feature services it may ask for; empty for everything.
            bucket: limits the users that it asks for; None for no limit.
        """
        self._features, self._bucket = features, bucket
        self.name, self.services = name, services
        self.settings = features.settings

    async def one(
        self,
        user_id: str,
        selection: Selection,
        expected: Sequence[str] = (),
        caller: str = "",
        inputs: Inputs = NOTHING,
    ) -> tuple[bytes, Plan]:
        """The answer for one user; see FeatureReader."""
        self._require_allowed(selection)
        self._pay(1)
        return await self._features.one(user_id, selection, expected, caller or self.name, inputs)

    async def many(
        self,
        user_ids: Sequence[Any],
        selection: Selection,
        expected: Sequence[str] = (),
        caller: str = "",
        inputs: Inputs = NOTHING,
    ) -> tuple[bytes, Plan]:
        """The answer for many users; see FeatureReader."""
        self._require_allowed(selection)
        require_few(len(user_ids), self.settings.max_users, "body.user_ids", "users")
        self._pay(len(user_ids))
        return await self._features.many(user_ids, selection, expected, caller or self.name, inputs)

    async def rows(
        self,
        selection: Selection,
        expected: Sequence[str],
        entities: Entities,
        caller: str = "",
    ) -> Answerable:
        """The plan of a selection, the catalog, and the rows of `entities`; see FeatureReader."""
        self._require_allowed(selection)
        self._pay(len(entities))
        return await self._features.rows(selection, expected, entities, caller or self.name)

    async def service(self, name: str) -> tuple[Service, Contract]:
        """A feature service with its contract, which every caller may know."""
        return await self._features.service(name)

    def catalog(self) -> Catalog:
        """The catalog that is served, which every caller may know."""
        return self._features.catalog()

    async def ready(self) -> str | None:
        """Return when the default service can be read, which every caller may know."""
        return await self._features.ready()

    def _require_allowed(self, selection: Selection) -> None:
        if not self.services:
            return
        whole = ", ".join(sorted(self.services))
        if selection.features:
            raise Forbidden(
                f"key {self.name} may ask for whole feature services, of which it has: {whole}"
            )
        service = selection.service or self.settings.service
        service = service or service_by_default(self._features.catalog().services)
        if service not in self.services:
            raise Forbidden(f"key {self.name} is not for that feature service, only for: {whole}")

    def _pay(self, users: int) -> None:
        if self._bucket is None:
            return
        seconds = self._bucket.take(users)
        if seconds:
            raise RateLimited(ceil(seconds))


class Callers(Protocol):
    """All callers there are."""

    def caller_of(self, scope: Scope) -> Caller:
        """The caller that sends a request; raises Unauthorized."""

    def start(self) -> None:
        """Begin to follow changes of the callers."""

    async def close(self) -> None:
        """Stop following them."""


class CallersByAddress:
    """Callers by client address, each with a limit. Belongs to one event loop."""

    def __init__(self, features: FeatureReader, new_bucket: NewBucket) -> None:
        self._features, self._new_bucket = features, new_bucket
        self._known: OrderedDict[str, Caller] = OrderedDict()

    def caller_of(self, scope: Scope) -> Caller:
        """The caller at the address that a request comes from."""
        client = scope.get("client")
        address = client[0] if client else ""
        found = self._known.get(address)
        if found is not None:
            self._known.move_to_end(address)
            return found
        found = self._known[address] = Caller(self._features, bucket=self._new_bucket())
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)
        return found

    def __len__(self) -> int:
        return len(self._known)

    def start(self) -> None:
        """Do nothing, since addresses are not followed."""

    async def close(self) -> None:
        """Do nothing, since nothing was started."""


class CallersByKey(BackgroundTask):
    """Callers by API key, read anew when the folder changes. Belongs to one event loop.

    Raises:
        ConfigurationError: the folder has no keys, or a file is not as it should be.
    """

    def __init__(self, features: FeatureReader, folder: Path, new_bucket: NewBucket) -> None:
        self._features, self._folder, self._new_bucket = features, folder, new_bucket
        self._keys = read(folder, VARIABLE)
        self._buckets: dict[str, TokenBucket | None] = {}
        self._known = self._callers()
        self.fault: str | None = None
        """The reason that the folder cannot be read now; the keys of before stay meanwhile."""

    def caller_of(self, scope: Scope) -> Caller:
        """The caller whose key a request has; raises Unauthorized."""
        return api_keys.owner_of(api_keys.digest_of(scope["headers"]), self._known)

    def __len__(self) -> int:
        return len(self._keys)

    async def _run(self) -> None:
        """Read the folder every FOLDER_CHECK_S seconds."""
        while True:
            await asyncio.sleep(FOLDER_CHECK_S)
            try:
                # In a thread, since a folder may be behind a network.
                found = await asyncio.to_thread(read, self._folder, VARIABLE)
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
        self._buckets = {name: self._buckets.get(name) or self._new_bucket() for name in names}
        return [
            (key.digest, Caller(self._features, key.name, key.services, self._buckets[key.name]))
            for key in self._keys
        ]
