"""The point-in-time join over the lake: features of a spine's rows, by DuckDB.

The same values as from PostgreSQL, bit for bit: of the lake's tables a user has one row at an
instant at most, so that the newest row at or before a time is one row, whoever finds it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

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
from streamflow.offline.join.newest import FEW_ROWS
from streamflow.offline.local_columns import Rows
from streamflow.offline.spine.entities import SpineRows
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
        with (
            session.opened() as database,
            in_types(beside(database, source, views, spine), spine, features.contract) as typed,
        ):
            yield typed

    return replace(features, joined=joined)


def beside(
    database: duckdb.DuckDBPyConnection,
    source: Lake,
    views: Sequence[LakeView],
    spine: SpineRows,
) -> pa.RecordBatchReader:
    """The columns of a spine and the features beside them, in its order."""
    keys = list(dict.fromkeys(view.key for view in views))
    load(database, spine, keys)
    few = {key for key in keys if most_rows(database, keys.index(key)) <= FEW_ROWS}
    query = join(source, views, keys, few)
    # Not of `execute`, which first keeps all rows.
    found: pa.RecordBatchReader = database.sql(query).to_arrow_reader(BATCH_ROWS)
    fields = pa.schema([*spine.spine.schema, *list(found.schema)[1:]])
    return pa.RecordBatchReader.from_batches(fields, zipped(spine, found, fields))


def zipped(
    spine: SpineRows, found: pa.RecordBatchReader, fields: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows of both, which are as many, in batches of BATCH_ROWS."""
    own, features, done = Rows(spine.spine.to_batches()), Rows(read(found)), 0
    while (here := own.take(BATCH_ROWS)) is not None:
        batch = features.take(here.num_rows)
        # The two are put together by their order alone, so that it has to be this one.
        if batch is None or not batch.column(0).equals(numbers(done + 1, here.num_rows)):
            raise StreamflowError(f"DuckDB gave other rows than asked for, after row {done}")
        done += here.num_rows
        yield pa.RecordBatch.from_arrays([*here.columns, *batch.columns[1:]], schema=fields)


def read(found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of an answer of DuckDB, whose errors come as Arrow's."""
    try:
        yield from found
    except (pa.ArrowException, OSError) as error:
        raise session.explanation(error) from None


def load(database: duckdb.DuckDBPyConnection, spine: SpineRows, keys: Sequence[str]) -> None:
    """Makes the table `spine` with number, time and keys of the rows, these as texts k0, k1, …

    Raises:
        SpineRefused: there is no row, or one without time or key.
        KeyMismatch: a key is of a type that is never a user.
    """
    for key in keys:
        kind = spine.spine.schema.field(key).type
        if not is_text(kind):
            raise KeyMismatch(
                f"column {quoted(key)} of the entity rows is {kind} and {KEY} in the lake is text:"
                " it cannot be converted without loss"
            )
    columns = ", ".join(f"k{at} VARCHAR" for at in range(len(keys)))
    database.execute(f"CREATE TABLE spine (n BIGINT, ts TIMESTAMPTZ, {columns})")
    # Batch by batch, since DuckDB would make an error of its own of one that comes in a stream.
    for batch in spine.sent(keys):
        database.register("given", pa.Table.from_batches([batch]))
        database.execute("INSERT INTO spine SELECT * FROM given")
        database.unregister("given")


def is_text(kind: pa.DataType) -> bool:
    """True for types of keys whose text is the key: texts, whole numbers and decimals."""
    texts = (pa.types.is_string, pa.types.is_large_string)
    known = (*texts, pa.types.is_integer, pa.types.is_decimal128)
    return any(one(kind) for one in known)


def most_rows(database: duckdb.DuckDBPyConnection, key: int) -> int:
    """The number of rows that the most frequent user of a spine has."""
    query = f"SELECT max(n) FROM (SELECT count(*) AS n FROM spine GROUP BY k{key})"
    ((found,),) = database.sql(query).fetchall()
    return int(found)


def join(source: Lake, views: Sequence[LakeView], keys: Sequence[str], few: set[str]) -> str:
    """The query of all features, in the order of the spine."""
    outputs, joins = [], []
    for at, view in enumerate(views):
        form = newest if view.key in few else asof
        outputs += [
            f"v{at}.f.f{number} AS {name(called)}"
            for number, (_, called) in enumerate(view.features)
        ]
        rows = form(view, keys.index(view.key), source.relations[view.snapshot.table])
        joins.append(f"LEFT JOIN ({rows}) AS v{at} USING (n)")
    return f"SELECT n, {', '.join(outputs)} FROM spine {' '.join(joins)} ORDER BY n"


def newest(view: LakeView, key: int, rows: str) -> str:
    """The newest row of each row of the spine, by looking at all of its user's.

    Half the work of `asof` while a user has few rows in the spine, and otherwise too much.
    """
    return (
        f"SELECT e.n, arg_max({taken(view)}, s.{TIME}) AS f FROM spine AS e JOIN ({rows}) AS s"
        f" ON s.{KEY} = e.k{key} AND {seen(view)} GROUP BY e.n"
    )


def asof(view: LakeView, key: int, rows: str) -> str:
    """The newest row of each row of the spine, by going through both in the order of time."""
    old = f" WHERE {seen(view)}" if view.ttl else ""
    return (
        f"SELECT e.n, {taken(view)} AS f FROM spine AS e ASOF JOIN ({rows}) AS s"
        f" ON s.{KEY} = e.k{key} AND s.{TIME} <= e.ts{old}"
    )


def taken(view: LakeView) -> str:
    """The features of a row `s` as one value."""
    parts = (f"f{number} := {one}" for number, (one, _) in enumerate(view.features))
    return f"struct_pack({', '.join(parts)})"


def seen(view: LakeView) -> str:
    """The condition that the row `e` of the spine sees the row `s`."""
    found = f"s.{TIME} <= e.ts"
    if view.ttl:
        length = view.ttl // timedelta(microseconds=1)
        found += f" AND s.{TIME} >= e.ts - to_microseconds({length})"
    return found
