"""The point-in-time join over the lake: features of a spine's rows, by DuckDB.

The same values as from PostgreSQL, bit for bit: of the lake's tables a user has one row at an
instant at most, so that the newest row at or before a time is one row, whoever finds it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from streamflow.errors import ConfigurationError, KeyMismatch, QueryRefused, StreamflowError
from streamflow.lake import catalog, session
from streamflow.lake.session import name, relation
from streamflow.lake.table import LakeFile, LakeTable
from streamflow.lake.views import LakeView, views_of
from streamflow.offline.arrays import numbers
from streamflow.offline.arrow import BATCH_ROWS
from streamflow.offline.features import Features, Spine, in_types
from streamflow.offline.local_columns import Rows
from streamflow.offline.spine.entities import SpineRows
from streamflow.offline.spine.memory import Stored
from streamflow.snapshots import KEY, TIME, Snapshots
from streamflow.visible_text import quoted

Versions = dict[str, int]


@dataclass(frozen=True)
class Lake:
    """The lake's tables of a feature repository, each in one version."""

    declared: Snapshots
    relations: Mapping[str, str]
    """By table, its rows as a query of DuckDB."""
    files: Mapping[str, Sequence[LakeFile]]
    """By table."""
    versions: Versions = field(default_factory=dict)
    """Iceberg's number of each table's version; a table that was never stored has none."""

    @property
    def labels(self) -> dict[datetime, str]:
        """The file of each month's labels by its instant."""
        return {one.instant: one.location for one in self.files[self.declared.labels.table]}

    def until(self, instant: datetime) -> set[tuple[str, str]]:
        """Table and file of all rows at or before an instant."""
        every = ((table, one) for table, found in self.files.items() for one in found)
        return {(table, one.location) for table, one in every if one.instant <= instant}


def lake(declared: Snapshots, versions: Versions | None = None) -> Lake:
    """The lake as it is now, all tables in the state of one export; or in earlier versions.

    Raises:
        ConfigurationError: there is no lake, or no such version.
        StreamflowError: a file is gone, or another one.
    """
    found, relations, files = {}, {}, {}
    with catalog.opened() as tables:
        for one in declared.files:
            if one.newest_only:
                continue
            version = None if versions is None else versions.get(one.table, 0)
            table = None if version == 0 else LakeTable.load(tables, one.table, version)
            files[one.table] = table.files() if table else []
            relations[one.table] = relation(table, files[one.table], one)
            if table and table.version:
                found[one.table] = table.version
    return Lake(declared, relations, files, found)


def features_of(source: Lake, features: Features) -> Features:
    """The features of a service, to be joined from the lake.

    Raises:
        ConfigurationError: they need more than the lake's tables; says what.
    """
    service = features.plain
    if service is None:
        raise ConfigurationError(
            f"feature service {features.contract.service} needs Feast to compute or to read its"
            " features, which the lake has not; build the training set from the database"
        )
    views = views_of(service, source.declared)

    @contextmanager
    def joined(spine: Spine) -> Iterator[pa.RecordBatchReader]:
        if not isinstance(spine, SpineRows):
            raise QueryRefused(
                "a query is run by PostgreSQL; from the lake, give the rows as a file"
            )
        with TemporaryDirectory(prefix="lake-") as folder:
            parts = [Path(folder, f"{at}.arrow") for at in range(len(views))]
            with session.opened() as database:
                keys = load(database, spine, views)
                for view, part in zip(views, parts, strict=True):
                    query = newest(view, keys[view.key], source.relations[view.snapshot.table])
                    write(database, query, part)
            with in_types(zipped(spine, parts), spine, features.contract) as typed:
                yield typed

    return replace(features, joined=joined)


def load(
    database: duckdb.DuckDBPyConnection, spine: SpineRows, views: Sequence[LakeView]
) -> dict[str, str]:
    """Makes the table `spine` with number, time and keys of the rows, these as texts k0, k1, …

    Returns:
        The names that the join keys have there, by those they have in the spine.

    Raises:
        SpineRefused: there is no row, or one without time or key.
        KeyMismatch: a key is of a type that is never a user.
    """
    keys = {key: f"k{at}" for at, key in enumerate(dict.fromkeys(one.key for one in views))}
    for key in keys:
        kind = spine.spine.schema.field(key).type
        if not is_text(kind):
            raise KeyMismatch(
                f"column {quoted(key)} of the entity rows is {kind} and {KEY} in the lake is text:"
                " it cannot be converted without loss"
            )
    columns = "".join(f", {one} VARCHAR" for one in keys.values())
    database.execute(f"CREATE TABLE spine (n BIGINT, ts TIMESTAMPTZ{columns})")
    # Batch by batch, since DuckDB would make an error of its own of one that comes in a stream.
    for batch in spine.sent(list(keys)):
        database.register("given", pa.Table.from_batches([batch]))
        database.execute("INSERT INTO spine SELECT * FROM given")
        database.unregister("given")
    return keys


def is_text(kind: pa.DataType) -> bool:
    """True for types of keys whose text is the key: texts, whole numbers and decimals."""
    texts = (pa.types.is_string, pa.types.is_large_string)
    known = (*texts, pa.types.is_integer, pa.types.is_decimal128)
    return any(one(kind) for one in known)


def newest(view: LakeView, key: str, rows: str) -> str:
    """The query of a view's features for each row of the spine, in its order, with its number.

    Args:
        key: the column of the spine that is the user.
        rows: the view's table, as a query.
    """
    form = "{}"
    if view.ttl:
        length = view.ttl // timedelta(microseconds=1)
        form = f"CASE WHEN s.{TIME} >= e.ts - to_microseconds({length}) THEN {{}} END"
    features = "".join(f", {form.format(one.taken)} AS {name(one.name)}" for one in view.features)
    return (
        f"SELECT e.n{features} FROM spine AS e ASOF LEFT JOIN ({rows}) AS s"
        f" ON s.{KEY} = e.{key} AND s.{TIME} <= e.ts ORDER BY e.n"
    )


def write(database: duckdb.DuckDBPyConnection, query: str, part: Path) -> None:
    """Writes the rows of a query to a file of Arrow's.

    Each view has its own: joined in one query, all of them would need the memory at once.
    """
    # Not of `execute`, which first keeps all rows.
    found: pa.RecordBatchReader = database.sql(query).to_arrow_reader(BATCH_ROWS)
    with pa.ipc.new_stream(str(part), found.schema) as file:
        for batch in read(found):
            file.write_batch(batch)


def zipped(spine: SpineRows, parts: Sequence[Path]) -> pa.RecordBatchReader:
    """The columns of a spine and, beside them, those of files that have as many rows."""
    stored = [Stored(pa.ipc.open_stream(str(one)).schema, str(one)) for one in parts]
    found = [pa.schema(list(one.schema)[1:]) for one in stored]
    fields = pa.schema([*spine.spine.schema, *(field for one in found for field in one)])

    def batches() -> Iterator[pa.RecordBatch]:
        own, done = Rows(spine.spine.to_batches()), 0
        features = [Rows(one.to_batches()) for one in stored]
        while (here := own.take(BATCH_ROWS)) is not None:
            counted, columns = numbers(done + 1, here.num_rows), list(here.columns)
            for rows in features:
                batch = rows.take(here.num_rows)
                # They are put together by their order alone, so that it has to be this one.
                if batch is None or not batch.column(0).equals(counted):
                    raise StreamflowError(f"DuckDB gave other rows than asked for, after {done}")
                columns += batch.columns[1:]
            done += here.num_rows
            yield pa.RecordBatch.from_arrays(columns, schema=fields)

    return pa.RecordBatchReader.from_batches(fields, batches())


def read(found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of an answer of DuckDB, whose errors come as Arrow's."""
    try:
        yield from found
    except (pa.ArrowException, OSError) as error:
        raise session.explanation(error) from None
