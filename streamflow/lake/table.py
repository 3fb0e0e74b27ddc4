"""A table of the lake: the files of its present version, and how a month of it becomes another."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Self

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.lake.files import size
from streamflow.postgres.snapshot_tables import SCHEMA as NAMESPACE
from streamflow.snapshots import TIME
from streamflow.visible_text import without_secrets

FEW_MANIFESTS = {
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "4",
}
"""The settings by which a reader opens a few files of metadata, not one for each month."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LakeFile:
    """The rows of one month, in one Parquet file."""

    location: str
    """Its URL; the name is the hash of its bytes."""
    instant: datetime
    rows: int
    bytes: int

    @property
    def sha256(self) -> str:
        """The hash that its bytes have to have."""
        return PurePosixPath(self.location).stem


@dataclass(frozen=True)
class LakeTable:
    """A version of a table."""

    name: str
    table: Table
    version: int | None
    """Iceberg's number of the version; None where nothing was ever stored."""

    @classmethod
    def load(cls, catalog: Catalog, name: str, version: int | None = None) -> Self | None:
        """A table by its name, in its present version or another; None where there is none.

        Raises:
            ConfigurationError: its files are at another URL, or there is no such version.
        """
        try:
            table = catalog.load_table((NAMESPACE, name))
        except NoSuchTableError:
            return None
        place = catalog.properties["warehouse"]
        if not table.location().startswith(f"{place}/"):
            raise ConfigurationError(
                without_secrets(
                    f"STREAMFLOW_LAKE_URL is {place}, and table {name} of the lake was written to"
                    f" {table.location()}: name that place again"
                )
            )
        if version is not None and table.snapshot_by_id(version) is None:
            raise ConfigurationError(f"table {name} of the lake has no version {version}")
        present = table.current_snapshot()
        return cls(name, table, version or (present.snapshot_id if present else None))

    @classmethod
    def make(cls, catalog: Catalog, name: str, schema: pa.Schema) -> Self:
        """The table, which is made or gets the columns that it lacks.

        Raises:
            ConfigurationError: as `load`; or a column became another type that loses values.
        """
        catalog.create_namespace_if_not_exists(NAMESPACE)
        found = cls.load(catalog, name)
        if found is None:
            made = catalog.create_table((NAMESPACE, name), schema, properties=FEW_MANIFESTS)
            with made.update_spec() as change:
                change.add_field(TIME, IdentityTransform(), TIME)
            return cls(name, made, None)
        try:
            with found.table.update_schema() as grown:
                grown.union_by_name(schema)
        except ValueError as error:
            raise ConfigurationError(f"table {name} of the lake: {error}") from error
        return found

    @property
    def columns(self) -> list[str]:
        """The names of its columns in this version."""
        found = self.table.snapshot_by_id(self.version) if self.version else None
        schemas = self.table.schemas()
        known = schemas.get(found.schema_id) if found and found.schema_id is not None else None
        return list((known or self.table.schema()).column_names)

    def files(self) -> list[LakeFile]:
        """The files of the version, the oldest month first."""
        if self.version is None:
            return []
        found = [
            LakeFile(
                location=one.file.file_path,
                instant=EPOCH + timedelta(microseconds=one.file.partition[0]),
                rows=one.file.record_count,
                bytes=one.file.file_size_in_bytes,
            )
            for one in self.table.scan(snapshot_id=self.version).plan_files()
        ]
        return sorted(found, key=lambda one: one.instant)

    def replaced(self, instant: datetime, location: str) -> Self:
        """The table with a file as the rows of a month, in place of those it had: a new version.

        Args:
            location: the file's URL; empty for a month without rows.

        Raises:
            CommitFailedException: another version came in between.
        """
        with self.table.transaction() as change:
            if any(one.instant == instant for one in self.files()):
                change.delete(EqualTo(term=TIME, value=instant.isoformat()))
            if location:
                change.add_files([location])
        present = self.table.current_snapshot()
        return replace(self, version=present.snapshot_id if present else None)


def require_whole(file: LakeFile) -> None:
    """Returns when a file has as many bytes as were written.

    Raises:
        StreamflowError: it is gone or cut, or another one; names it.
    """
    found = size(file.location)
    if found != file.bytes:
        said = (
            "is not there" if found is None else f"has {found:,} bytes, {file.bytes:,} were written"
        )
        raise StreamflowError(
            without_secrets(
                f"the lake: {file.location} {said}; where PostgreSQL still has the month:"
                f" streamflow snapshot export --as-of {file.instant.date()} --again"
            )
        )
