"""Feast's RetrievalJob: a query that runs when its rows are asked for, at once or in batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.dqm.errors import ValidationFailed
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    SavedDatasetPostgreSQLStorage,
)
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage
from feast.types import from_feast_to_pyarrow_type
from psycopg import Connection, sql

from streamflow.feast.offline.connect import connect
from streamflow.offline.compose import text
from streamflow.offline.copy import columns_for, copy_in
from streamflow.offline.select import Batches, Select, create_as, fetched

NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


class StreamflowRetrievalJob(RetrievalJob):
    """Rows of one query, fetched over one connection that is closed at the end.

    `to_arrow` is exact. So is `to_df`: an integer column that has nulls becomes one of pandas'
    nullable integers (Int64), where pandas alone would make it a float.
    """

    def __init__(
        self,
        config: RepoConfig,
        select: Callable[[Connection[Any]], Select],
        shown: Callable[[Connection[Any]], Select] | None = None,
        full_feature_names: bool = False,
        on_demand_feature_views: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
        subject: str = "",
    ) -> None:
        self.config = config
        self._select = select
        self._shown = shown or select
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = list(on_demand_feature_views)
        self._metadata = metadata
        self._subject = subject

    @property
    def full_feature_names(self) -> bool:
        """True where features are called `view__feature`."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The views that Feast computes from the rows."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """Feast's description of the request; None where the job is no point-in-time request."""
        return self._metadata

    def to_arrow(self, validation_reference: Any = None, timeout: int | None = None) -> pa.Table:
        """All rows as a table, on-demand features included.

        Args:
            validation_reference: what the rows are held against, as the data frame that `to_df`
                gives: Feast made the reference's profile of such a one.

        Raises:
            ValidationFailed: they differ from it.
        """
        table = super().to_arrow(timeout=timeout)
        if validation_reference:
            found = validation_reference.profile.validate(frame(table))
            if not found.is_success:
                raise ValidationFailed(found)
        return table

    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> pd.DataFrame:
        """All rows as a data frame, on-demand features included."""
        return frame(self.to_arrow(validation_reference, timeout))

    def to_sql(self) -> str:
        """The query as it runs.

        It can be run elsewhere, in a session whose time zone is UTC and whose search_path is that
        of the store, unless the entity rows are a data frame: those are in a temporary table that
        ends with the job.
        """
        with connect(self.config.offline_store, None, self._subject) as connection:
            return self._shown(connection).query.as_string(connection)

    @contextmanager
    def to_record_batches(self, timeout: int | None = None) -> Iterator[pa.RecordBatchReader]:
        """The rows in batches of 65,536 at most, while the query runs: memory stays flat.

        On-demand features are computed batch by batch, in the types that their views declare.

        Args:
            timeout: seconds until PostgreSQL gives up; None for no limit.
        """
        with self._rows(timeout) as (fields, batches):
            if self._on_demand_feature_views:
                fields, batches = self._with_on_demand(fields, batches)
            yield pa.RecordBatchReader.from_batches(fields, batches)

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,
        timeout: int | None = None,
    ) -> None:
        """Writes all rows into a new table, or into none.

        Args:
            allow_overwrite: replace a table of that name.

        Raises:
            SavedDatasetLocationAlreadyExists: there is one.
            ValueError: the storage is no table in PostgreSQL, or a name is too long for it.
        """
        if not isinstance(storage, SavedDatasetPostgreSQLStorage):
            raise ValueError(f"{type(storage).__name__} is no table in PostgreSQL")
        name = storage.postgres_options._table
        with connect(self.config.offline_store, timeout, self._subject) as connection:
            select = self._select(connection)
            if allow_overwrite:
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(text(name)))
            elif connection.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,):
                raise SavedDatasetLocationAlreadyExists(name)
            if select.local_columns is None and not (
                select.checks or self._on_demand_feature_views
            ):
                create_as(connection, text(name), select)
                return
            fields, batches = fetched(connection, select)
            table = self._finished(pa.Table.from_batches(batches, fields))
            columns = sql.SQL(", ").join(columns_for(table.schema))
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(text(name), columns))
            copy_in(connection, text(name), table.column_names, table.to_batches())

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._rows(timeout) as (fields, batches):
            # In one piece: Feast's materialization takes the first chunk for the whole.
            return pa.Table.from_batches(batches, fields).combine_chunks()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return frame(self._to_arrow_internal(timeout))

    @contextmanager
    def _rows(self, timeout: int | None) -> Iterator[tuple[pa.Schema, Batches]]:
        """The rows as they are in the database, and their schema."""
        with connect(self.config.offline_store, timeout, self._subject) as connection:
            select = self._select(connection)
            connection.execute("SET TRANSACTION READ ONLY")
            fields, batches = fetched(connection, select)
            with closing(batches):
                yield fields, batches

    def _with_on_demand(self, fields: pa.Schema, batches: Batches) -> tuple[pa.Schema, Batches]:
        """The batches with on-demand features, and the schema that has them."""
        first = next(batches, None)
        tables = (
            self._finished(pa.Table.from_batches([batch], fields))
            for batch in chain([] if first is None else [first], batches)
        )
        start = self._finished(fields.empty_table()) if first is None else next(tables)
        declared = {
            name: field.dtype
            for view in self._on_demand_feature_views
            for field in view.features
            for name in (field.name, f"{view.projection.name_to_use()}__{field.name}")
        }
        final = start.schema
        for at in range(len(fields), len(final)):
            kind = from_feast_to_pyarrow_type(declared[final.names[at]])
            final = final.set(at, final.field(at).with_type(kind))
        rows = chain([start], tables)
        return final, (batch for table in rows for batch in table.cast(final).to_batches())

    def _finished(self, table: pa.Table) -> pa.Table:
        """Rows with their on-demand features, which Feast's own `to_arrow` computes."""
        return Rows(table, self).to_arrow()


class Rows(RetrievalJob):
    """Rows that are here already, of `job`."""

    def __init__(self, table: pa.Table, job: StreamflowRetrievalJob) -> None:
        self.table = table
        self.full_feature_names = job.full_feature_names
        self.on_demand_feature_views = job.on_demand_feature_views
        self.metadata = job.metadata

    full_feature_names = False
    on_demand_feature_views: Sequence[OnDemandFeatureView] = ()
    metadata: RetrievalMetadata | None = None

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.table


def frame(table: pa.Table) -> pd.DataFrame:
    """A table as pandas has it, integers beside nulls exact."""
    made: pd.DataFrame = table.to_pandas()
    for at, column in enumerate(table.columns):
        if column.null_count and pa.types.is_integer(column.type):
            made.isetitem(at, column.to_pandas(types_mapper=NULLABLE.get))
    return made
