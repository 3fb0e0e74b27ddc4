"""The one seam to the Feast SDK: an open FeatureStore and what its registry said last."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from api.catalog import Catalog, Service, View, fresh_for
from feature_repo.contract import Contract, Feature, contract_of
from feature_repo.database import connect
from feature_repo.errors import StoreUnavailable
from feature_repo.online import Vector, read
from feature_repo.store import open_store

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger(__name__)

T = TypeVar("T")

NOBODY = "nobody"
"""The user that a probe reads; whether there is such a user makes no difference."""


class Session:
    """An open store. Reads may run in many threads; `refresh` in one at a time."""

    def __init__(self, stack: ExitStack, store: "FeatureStore") -> None:
        self._stack, self._store = stack, store
        self._seen: Any = None
        """The registry as Feast holds it, from which `catalog` was made."""
        self.catalog = Catalog()

    @classmethod
    def open(cls) -> "Session":
        """Opens the store; its catalog is empty until `refresh`.

        Raises:
            ConfigurationError: a PG* variable is missing or wrong.
            SchemaMissing: nothing was applied.
            StoreUnavailable: PostgreSQL does not answer.
        """
        with ExitStack() as stack:
            store = stack.enter_context(open_store())
            # Feast would read the registry again inside whichever request comes after its
            # time to live; `refresh` does it beside the requests. Zero means never.
            store.registry.cached_registry_proto_ttl *= 0
            return cls(stack.pop_all(), store)

    def close(self) -> None:
        """Closes its connections; a read that still runs fails with StoreUnavailable."""
        try:
            self._stack.close()
        except Exception:  # it is given up anyway, and a thread has nobody to tell
            log.warning("store not closed", exc_info=True)

    def refresh(self) -> None:
        """Brings `catalog` to what the registry says now.

        Raises:
            StoreUnavailable: PostgreSQL does not answer.
            SchemaMissing: the registry is gone.
        """
        # An attempt with a timeout, which a statement on an older connection does not have.
        with connect():
            pass
        seen = self._reread()
        while seen != self._seen:
            catalog = catalog_of(self._store)
            again = self._reread()
            if again == seen:  # else another process applies just now
                self.catalog, self._seen = catalog, seen
            seen = again

    def _reread(self) -> Any:
        """Feast's own copy of the registry after reading it again."""
        registry = self._store.registry
        before = registry.cached_registry_proto
        self._store.refresh_registry()
        if registry.cached_registry_proto is before:  # Feast hides why it could not
            raise StoreUnavailable("PostgreSQL: the feature registry could not be read")
        return registry.cached_registry_proto

    def read(self, contract: Contract, user_ids: Sequence[str]) -> list[Vector]:
        """The vectors of `user_ids`, in their order; an unknown user's is empty.

        Raises:
            StoreUnavailable: PostgreSQL does not answer, or the contract's views were removed.
            SchemaMissing: an online table is not there.
        """
        from feast.errors import FeastObjectNotFoundException

        try:
            return read(self._store, contract, user_ids)
        except FeastObjectNotFoundException as error:
            raise StoreUnavailable("the registry changed during the request") from error

    def probe(self, contract: Contract) -> None:
        """Reads the features of `contract` as a request would; raises as `read` does."""
        self.read(contract, [NOBODY])


def catalog_of(store: "FeatureStore") -> Catalog:
    """The catalog as the registry in the database says."""
    services = {
        found.name: Service(found.name, found.description, contract_of(store, found.name))
        for found in store.list_feature_services()
    }
    return Catalog(services, {one.name: view_of(one) for one in store.list_all_feature_views()})


def view_of(found: Any) -> View:
    """Feast's view of any kind as ours; a tag that makes no sense counts as not set."""
    try:
        fresh = fresh_for(found.tags)
    except (ValueError, OverflowError):
        log.warning("tag fresh_for_days is no number", extra={"view": found.name})
        fresh = None
    features = {
        field.name: Feature(found.name, field.name, str(field.dtype), field.description)
        for field in found.features
    }
    return View(found.name, features, fresh)


def bounded(call: Callable[[], T], seconds: float) -> T:
    """What `call` gives, in a thread of its own that is left behind when it takes longer.

    A connection to a server that vanished without a word hangs until the kernel gives up,
    after a quarter of an hour.

    Raises:
        StoreUnavailable: it took longer.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # handed over to the caller
            result.set_exception(error)

    threading.Thread(target=run, name="features-look", daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutError:
        raise StoreUnavailable(f"PostgreSQL: no answer in {seconds:g} s") from None
