"""Training sets from rows of one's own: each with the features that were known at its time.

`build` is the door for notebooks and scripts; `streamflow training-set` goes through the same
code. It needs the library with what a Feast project needs (`pip install "streamflow[feast]"`).
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from streamflow import settings, snapshots
from streamflow.catalog.contract import Contract
from streamflow.errors import ConfigurationError
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store, require_applied
from streamflow.feast.training import features_of as features_by_feast
from streamflow.offline.compose import text
from streamflow.offline.features import Features, Needs
from streamflow.offline.join.entities import EVENT_TIMESTAMP
from streamflow.offline.registered import registered
from streamflow.offline.spine import files
from streamflow.offline.spine.entities import SpineQuery, SpineRows
from streamflow.offline.spine.memory import ArrowStream, batches_of, kept
from streamflow.offline.spine.spine import Spine, require_columns, spine_of
from streamflow.offline.spine.split import SPLIT, Split, SplitAt, SplitByKey
from streamflow.sources.written_sql import is_query, subquery

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

__all__ = [
    "EVENT_TIMESTAMP",
    "SPLIT",
    "Split",
    "SplitAt",
    "SplitByKey",
    "TrainingSet",
    "build",
    "features_of",
    "opened",
]


def build(
    entities: "str | Path | pd.DataFrame | ArrowStream",
    service: str,
    *,
    timestamp_column: str = EVENT_TIMESTAMP,
    split: Split | None = None,
    store: "FeatureStore | None" = None,
    origin: Literal["database", "lake"] = "database",
) -> pa.RecordBatchReader:
    """Joins rows of your own point-in-time with the features of a service, as a stream.

    Each row gets, of each feature view, the newest values at or before the row's time: none of
    the row's future, and none older than the view's ttl. The rows keep their order and number,
    equal ones included, so that the same rows give the same answer.

    Args:
        entities: the rows, called a spine: a path or fsspec URL of a file that ends in `.parquet`
            or `.csv`; a query that PostgreSQL runs where nothing can be written (text that begins
            with SELECT or WITH; ORDER BY makes its order the same each time); a data frame, whose
            index is left out; or whatever gives a stream of Arrow's, as its own tables and readers
            and frames of Polars do. They need the service's join keys in any type whose values are
            the source's without loss (1001, "1001" and a category of either are one key), a time,
            and what on-demand views take from a request. All other columns stay as they are.
        service: a feature service of the registry.
        timestamp_column: the rows' times. A time with a zone is that instant; a naive one, a
            date and text without a zone are UTC.
        split: adds a text column `split`, `train` or `test`: by time with `SplitAt`, or by a hash
            of the join keys with `SplitByKey`.
        store: the Feast project; by default the one in the folder that STREAMFLOW_FEATURE_REPO
            names.
        origin: what the features are read from. The lake, at STREAMFLOW_LAKE_URL, has the tables
            of snapshots.py and gives the same values; a query has to be run by the database.

    Returns:
        A reader of record batches with at most 65,536 rows: the columns of `entities` in their
        order and types, then the features in the service's order, then `split`. Memory stays
        flat however many rows there are. Times are `timestamp[us, UTC]`, to the microsecond below;
        dictionaries are their values; a Float32 is a 32-bit float, an Int64 beside nulls an int64;
        a feature without a value is null, also that of a key which is unknown. A numeric of a
        query is a double, and what Arrow has no type for is text. To be read in one thread; the
        connection to PostgreSQL is closed when the last batch was read, or the reader dropped.

    Raises:
        SpineRefused: no time column, join key or row; a row without time or key; a column twice,
            or called as a feature. Names file, row and column.
        KeyMismatch: a key cannot be of the source's type without loss.
        QueryRefused: the query is none, writes, or PostgreSQL does not take it.
        UnknownName: the registry has no such service.
        ConfigurationError: there is no such file, or no feature_store.yaml.
        StoreUnavailable: PostgreSQL does not answer.
        ValueRefused: while it is read, where a source has a value that its feature cannot have.

    Example:
        >>> import pandas as pd
        >>> from streamflow import training
        >>> rows = pd.DataFrame({
        ...     "user_id": ["0002-ORFBO", "nobody"],
        ...     "event_timestamp": pd.to_datetime(["2024-02-10", "2024-02-10"]),
        ...     "clicked": [True, False],
        ... })
        >>> frame = training.build(rows, "profile_v1").read_pandas()
        >>> list(frame.columns)[2:]
        ['clicked', 'months_active', 'monthly_fee', 'paperless_billing']
        >>> frame["clicked"].tolist(), int(frame["monthly_fee"].isna().sum())
        ([True, False], 1)
    """
    with ExitStack() as stack:
        features = stack.enter_context(features_of(service, store))
        if origin == "lake":
            features = from_lake(features)
        made = stack.enter_context(opened(entities, features, timestamp_column, split))
        batches = until_read(made.reader, stack.pop_all())
    next(batches)
    return pa.RecordBatchReader.from_batches(made.reader.schema, batches)


def from_lake(features: Features) -> Features:
    """The same features from the lake as it is now."""
    from streamflow.lake.join import features_of, lake

    return features_of(lake(snapshots.load(settings.streamflow().feature_repo)), features)


def until_read(reader: pa.RecordBatchReader, held: ExitStack) -> Iterator[pa.RecordBatch | None]:
    """Nothing first, so that it has begun, then the batches; `held` is closed at the end."""
    with held:
        yield None
        yield from reader


@dataclass(frozen=True)
class TrainingSet:
    """A training set that is being made."""

    contract: Contract
    keys: Sequence[str]
    """The join keys."""
    spine: Sequence[str]
    """The columns that the spine has."""
    kind: str
    """`file`, `query` or `memory`."""
    sha256: str
    """The hash of the file's bytes, or of the query's text; empty for rows in memory."""
    reader: pa.RecordBatchReader
    """The spine's columns, the features, and the split."""
    joined: Sequence[str]
    """The features' columns but for those that on-demand views compute."""


@contextmanager
def features_of(service: str, store: "FeatureStore | None" = None) -> Iterator[Features]:
    """Yields the features of a service, without Feast's import where they can do without.

    Args:
        service: empty for the one that is meant where none is named.
        store: as for `build`; one that is given joins them by its own settings.

    Raises:
        UnknownName: the registry has no such service.
        ConfigurationError: none is named, and the project has none, or several.
    """
    if store is None:
        require_applied()
        if found := registered(service):
            yield found
            return
    with nullcontext(store) if store else open_store() as opened:
        yield features_by_feast(opened, contract_of(opened, service))


@contextmanager
def opened(
    entities: "str | Path | pd.DataFrame | ArrowStream | Spine",
    features: Features,
    timestamp_column: str = EVENT_TIMESTAMP,
    split: Split | None = None,
) -> Iterator[TrainingSet]:
    """Yields a training set, to be read inside the block; see `build`."""
    needs = features.needs
    needs = replace(needs, taken=[*needs.taken, *([SPLIT] if split else [])])
    with (
        spine_in(entities, timestamp_column, needs) as (kind, sha256, spine),
        features.joined(spine) as reader,
    ):
        if split is not None:
            reader = with_split(reader, split, timestamp_column, needs.keys)
        columns = list(spine.columns)
        contract = features.contract
        yield TrainingSet(contract, needs.keys, columns, kind, sha256, reader, needs.joined)


@contextmanager
def spine_in(
    entities: "str | Path | pd.DataFrame | ArrowStream | Spine",
    timestamp: str,
    needs: Needs,
) -> Iterator[tuple[str, str, SpineRows | SpineQuery]]:
    """Yields kind, hash and rows of a spine, whatever it is given as."""
    must, taken = [*needs.keys, *needs.inputs], needs.taken
    if isinstance(entities, Path):
        entities = str(entities)
    if isinstance(entities, str) and is_query(entities):
        query = text(subquery(entities, "the query"))
        sha256 = hashlib.sha256(entities.encode()).hexdigest()
        yield "query", sha256, SpineQuery(query, (), "the query", timestamp, must, taken)
    elif isinstance(entities, str):
        with files.opened(entities, timestamp, must, taken) as file:
            yield "file", file.sha256, SpineRows(file.spine)
    elif isinstance(entities, Spine):
        require_columns(entities.subject, entities.schema.names, timestamp, must, taken)
        yield "memory", "", SpineRows(entities)
    else:
        with kept(entities) as rows:
            schema, read = batches_of(rows)
            require_columns("the spine", schema.names, timestamp, must, taken)
            yield "memory", "", SpineRows(spine_of("the spine", timestamp, schema, read))


def with_split(
    reader: pa.RecordBatchReader, split: Split, timestamp: str, keys: Sequence[str]
) -> pa.RecordBatchReader:
    """The batches with the column `split` at their end.

    Raises:
        ConfigurationError: the split is by keys, and the service has none.
    """
    if isinstance(split, SplitByKey) and not keys:
        raise ConfigurationError("a split by key needs join keys, and the service has none")
    schema = reader.schema.append(pa.field(SPLIT, pa.string()))
    rows = (
        pa.RecordBatch.from_arrays(
            [*batch.columns, split.column(batch, timestamp, keys)], schema=schema
        )
        for batch in reader
    )
    return pa.RecordBatchReader.from_batches(schema, rows)
