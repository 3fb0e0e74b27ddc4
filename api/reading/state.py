"""The state of the database as far as this process knows it.

What watches the database writes it (heartbeat.py, availability.py, catalog_reader.py), and
requests read it. It calls nobody: who wants the database looked at sets an event here.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from api.errors import NotReady, ProjectMissing
from streamflow.catalog import model
from streamflow.catalog.known_contracts import KnownContract
from streamflow.catalog.model import Catalog, CatalogTooNew
from streamflow.errors import SchemaMissing, SchemaTooNew
from streamflow.postgres import migrations

log = logging.getLogger(__name__)

STARTING = "the service is starting"


class State:
    """The catalog that is served, and why requests cannot be answered now.

    Belongs to one event loop. A request uses the catalog that it began with to its end.
    """

    def __init__(self, project: str = "") -> None:
        """
        Args:
            project: Feast's, whose catalog is served; empty for the first of the database.
        """
        self._project = project
        self.relation = model.relation_of(project)
        """The relation of the database that has the catalog, in SQL."""
        self.catalog: Catalog | None = None
        """The catalog that is served; None until one was read, and after it was taken away."""
        self.unreadable_reason: str | None = None
        """The reason that another catalog in the database than `catalog` cannot be read."""
        self.away_reason: str | None = STARTING
        """The reason that no request can be answered, when that is known without trying."""
        self.unready_reason: str | None = STARTING
        """The reason that the service is not ready; None when the last probe succeeded."""
        self.is_connected = False
        """True while the database answers the heartbeat."""
        self.heartbeat_wanted = asyncio.Event()
        """Set to have the heartbeat ask at once instead of after its usual pause."""
        self.probe_wanted = asyncio.Event()
        """Set to have the default service's features read by a probe."""
        self._versions: frozenset[int] = frozenset()

    @property
    def is_ready(self) -> bool:
        """True when the last probe found everything in place."""
        return self.unready_reason is None and self.away_reason is None

    @property
    def version(self) -> int | None:
        """The version of the catalog that is served."""
        return self.catalog.version if self.catalog else None

    def require_catalog(self) -> Catalog:
        """The catalog by which a request is answered from start to end.

        Raises:
            NotReady: there is none, or the database is known to be away.
        """
        found = self.catalog
        if self.away_reason is not None or found is None:
            raise NotReady(self.away_reason or self.unready_reason or STARTING)
        return found

    def doubt(self) -> None:
        """Have the database looked at now, because a request could not read from it."""
        self.heartbeat_wanted.set()
        self.probe_wanted.set()

    def serve(
        self,
        version: int,
        format_: int,
        document: str,
        usable_from: int = 1,
        known: Iterable[KnownContract] = (),
    ) -> None:
        """Serve a row of `relation` from now on; the last catalog stays if it cannot be read.

        It stays, too, if the database's schema cannot be used by this version.

        Args:
            version: of the row, as the next two.
            format_: see streamflow.catalog.model.FORMAT.
            document: the catalog.
            usable_from: the newest migration that a version must have to use the schema.
            known: the contracts that the services have had.

        Raises:
            CatalogTooNew, SchemaTooNew: it cannot be read, and there is no last catalog.
        """
        try:
            migrations.require_usable(usable_from)
            self.catalog = model.parse(version, format_, document, known, self.relation)
        except (CatalogTooNew, SchemaTooNew) as error:
            self._keep_last(version, error)
        except (KeyError, TypeError, ValueError) as error:
            log.exception("catalog not understood", extra={"version": version})
            why = f"the catalog cannot be read by this version: {error!r}"
            self._keep_last(version, CatalogTooNew(why))
        else:
            self._versions, self.unreadable_reason = frozenset({version}), None
            log.info("catalog read", extra={"version": version})

    def _keep_last(self, version: int, error: CatalogTooNew | SchemaTooNew) -> None:
        if self.catalog is None:
            raise error
        if self.unreadable_reason is None:
            log.warning("catalog not read, the last one stays", extra={"reason": str(error)})
        self._versions = frozenset({self.catalog.version, version})
        self.unreadable_reason = str(error)

    def no_catalog(self) -> SchemaMissing:
        """The error where the database answers, and has no catalog of the project."""
        if self._project:
            return ProjectMissing(self._project)
        return SchemaMissing("ops.catalog is empty; run: streamflow apply")

    def forget_catalog(self) -> None:
        """Serve no catalog, because the database has none any more."""
        self.catalog, self.unreadable_reason, self._versions = None, None, frozenset()

    def is_known(self, version: int) -> bool:
        """True if the catalog of that version was read, or is known to be unreadable."""
        return version in self._versions

    def matches(self, asked: int, read: int) -> bool:
        """True if rows that were read under version `read` may be answered by catalog `asked`."""
        return read == asked or (self.version == asked and self.is_known(read))

    def set_readiness(self, reason: str | None, is_away: bool = False, **extra: Any) -> None:
        """Set why the service is not ready, None when it is, and log a change of it.

        Args:
            reason: in words for a client.
            is_away: no request can be answered until a catalog was read again.
            **extra: further fields of the log line.
        """
        before, self.unready_reason = self.unready_reason, reason
        if is_away:
            self.away_reason = reason
        if reason is None and before is not None:
            log.info("features ready", extra=extra)
        elif reason is not None and reason != before:
            log.warning("features not ready", extra={"reason": reason, **extra})
