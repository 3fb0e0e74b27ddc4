"""The catalog that is served, and how it follows the one in the database."""

import logging

from streamflow.catalog import model as catalogs
from streamflow.catalog.model import Catalog, CatalogTooNew
from streamflow.errors import SchemaTooNew
from streamflow.postgres import migrations

log = logging.getLogger(__name__)


class Catalogs:
    """One catalog at a time; a request uses the one that it began with to its end."""

    def __init__(self) -> None:
        self.current: Catalog | None = None
        self.newer: str | None = None
        """Why the catalog in the database, another one than `current`, cannot be read."""
        self._versions: frozenset[int] = frozenset()

    def take(self, version: int, format_: int, document: str, usable_from: int = 1) -> None:
        """Makes a row of ops.catalog the current one; one that cannot be read leaves the last.

        So does one of a schema that this version cannot use.

        Args:
            version: of the row, as the next two.
            format_: see catalog.FORMAT.
            document: the catalog.
            usable_from: the newest migration that a version must have to use the schema.

        Raises:
            CatalogTooNew, SchemaTooNew: it cannot be read, and there is no last one.
        """
        try:
            migrations.require_usable(usable_from)
            self.current = catalogs.parse(version, format_, document)
        except (CatalogTooNew, SchemaTooNew) as error:
            self._leave(version, error)
        except (KeyError, TypeError, ValueError) as error:
            log.exception("catalog not understood", extra={"version": version})
            why = f"the catalog cannot be read by this version: {error!r}"
            self._leave(version, CatalogTooNew(why))
        else:
            self._versions, self.newer = frozenset({version}), None
            log.info("catalog read", extra={"version": version})

    def _leave(self, version: int, error: CatalogTooNew | SchemaTooNew) -> None:
        if self.current is None:
            raise error
        if self.newer is None:
            log.warning("catalog not read, the last one stays", extra={"reason": str(error)})
        self._versions, self.newer = frozenset({self.current.version, version}), str(error)

    def drop(self) -> None:
        """Forgets the current one, because the database has none any more."""
        self.current, self.newer, self._versions = None, None, frozenset()

    def is_known(self, version: int) -> bool:
        """Whether the version in the database needs no reading."""
        return version in self._versions

    def matches(self, asked: int, read: int) -> bool:
        """Whether rows read under version `read` may be answered by the catalog `asked`."""
        if read == asked:
            return True
        return self.current is not None and self.current.version == asked and self.is_known(read)
