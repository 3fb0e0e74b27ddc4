"""The online features as plain functions: what the routes call, in front of Feast.

A thread of its own opens the feature store and looks at it every few seconds. So a request
never waits for the registry or for a connection attempt that others make already, the
service starts without a database, and it recovers by itself when there is one again.
"""

import gc
import importlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from api.catalog import Catalog, Service
from api.session import Session, bounded
from api.settings import ApiSettings
from feature_repo.contract import Contract
from feature_repo.errors import (
    ConfigurationError,
    SchemaMissing,
    StoreUnavailable,
    StreamflowError,
)
from feature_repo.online import Vector

log = logging.getLogger(__name__)


class NotReady(StreamflowError):
    """The service cannot answer now; why not is said without anything internal."""


@dataclass(frozen=True)
class Answer:
    """What a read gives: vectors in the order of the users asked for, unknown ones empty."""

    contract: Contract
    vectors: list[Vector]
    catalog: Catalog


class Features:
    """The online features. Every method may be called from any thread.

    `start` begins to open the store and returns at once; until that is done, and whenever the
    database is away later, the methods raise NotReady without waiting for it.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self._session: Session | None = None
        self._reason: str | None = "the service is starting"
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="features", daemon=True)

    @property
    def is_ready(self) -> bool:
        """Whether the last look found everything in place."""
        return self._reason is None

    def start(self) -> None:
        """Begins to open the store, in a thread of its own."""
        self._keeper.start()

    def close(self) -> None:
        """Closes the store; waits no longer than a request may take."""
        self._closing.set()
        self._wake.set()
        self._keeper.join(self.settings.deadline_s)

    def doubt(self) -> None:
        """Asks for a look at the database now, because a request found it wanting."""
        self._wake.set()

    def services(self) -> list[Service]:
        """All feature services, by name."""
        catalog = self._opened().catalog
        return [catalog.services[name] for name in sorted(catalog.services)]

    def service(self, name: str) -> Service:
        """The feature service called `name`.

        Raises:
            UnknownName: the registry has none.
        """
        return self._opened().catalog.service(name)

    def read(
        self, user_ids: Sequence[str], service: str | None = None, references: Sequence[str] = ()
    ) -> Answer:
        """The vectors of `user_ids`, in their order.

        Args:
            user_ids: at least one; one that occurs twice is answered twice.
            service: the feature service to answer; None for the default one.
            references: `view:name` of the features to answer instead of a service's.

        Raises:
            UnknownName: the registry has no such service, view or feature.
            NotReady: the store cannot be read now.
        """
        session = self._opened()
        catalog = session.catalog
        if references:
            contract = catalog.selection(references)
        else:
            contract = catalog.service(service or self.settings.service).contract
        with self._watched():
            return Answer(contract, session.read(contract, user_ids), catalog)

    def ready(self) -> None:
        """Returns when the default service is in the registry and its features can be read.

        Raises:
            NotReady: says which of the two it is.
        """
        session = self._opened()
        with self._watched():
            reason = self._wanting(session)
        if reason is not None:
            raise NotReady(reason)

    def _opened(self) -> Session:
        session = self._session
        if session is None:
            raise NotReady(self._reason or "the service is starting")
        return session

    def _wanting(self, session: Session) -> str | None:
        """What the default service lacks; None for nothing."""
        found = session.catalog.services.get(self.settings.service)
        if found is None:
            return f"the registry has no feature service {self.settings.service}"
        try:
            session.probe(found.contract)
        except SchemaMissing:
            return "the online tables are not there yet"
        return None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (StoreUnavailable, SchemaMissing) as error:
            self.doubt()
            raise NotReady(public(error)) from error

    def _keep(self) -> None:
        # Takes seconds and needs no database, so it does not wait for one.
        importlib.import_module("feature_repo.online_store")
        # What the import made stays; looking through it for garbage stops every thread for 150 ms.
        gc.freeze()
        while not self._closing.is_set():
            self._look()
            settings = self.settings
            self._wake.wait(settings.registry_refresh_s if self._session else settings.retry_s)
            # Many requests may fail at once; one look per moment is enough for all of them.
            self._closing.wait(0.1)
            self._wake.clear()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _look(self) -> None:
        """Opens the store or looks whether it still is what it was; never raises."""
        began, session = time.monotonic(), self._session
        try:
            session = session or bounded(Session.open, self.settings.deadline_s)
            bounded(session.refresh, self.settings.deadline_s)
            reason = bounded(partial(self._wanting, session), self.settings.deadline_s)
        except Exception as error:  # whatever it is, the next look may find it mended
            if not isinstance(error, StreamflowError) and self._reason != public(error):
                log.exception("features not opened")
            self._say(public(error), cause=str(error))
            self._drop(session)
        else:
            self._session = session
            self._say(reason, duration_ms=round((time.monotonic() - began) * 1000))

    def _say(self, reason: str | None, **extra: object) -> None:
        """Keeps why the service is not ready, None when it is, and logs a change of it."""
        before, self._reason = self._reason, reason
        if reason is None and before is not None:
            log.info("features ready", extra=extra)
        elif reason is not None and reason != before:
            log.warning("features not ready", extra={"reason": reason, **extra})

    def _drop(self, session: Session | None) -> None:
        """Forgets the store and closes it without waiting: its connections may hang."""
        self._session = None
        if session is not None:
            threading.Thread(target=session.close, name="features-close", daemon=True).start()


def public(error: Exception) -> str:
    """Why the service is not ready, for a client: no host, no statement, no driver's words."""
    if isinstance(error, SchemaMissing):
        return "nothing was applied to the database"
    if isinstance(error, StoreUnavailable):
        return "the database does not answer"
    if isinstance(error, ConfigurationError):
        return "the service is not configured"
    return "the feature store could not be opened"
