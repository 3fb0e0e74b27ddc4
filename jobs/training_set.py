"""Builds a training set: a month's labels joined point-in-time with a service's features.

Rows stream from the query into the file, so that memory stays flat however many there are.
Idempotent by its path: the same data gives the same bytes. Both files are written under
another name and renamed, so that a killed run leaves no half file under the final one.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from datetime import time as midnight
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import tracing
from feature_repo.contract import Contract, contract_of
from feature_repo.database import connect
from feature_repo.errors import VerificationFailed
from feature_repo.store import open_store
from jobs import waiting
from jobs.ledger import Run, versions
from jobs.training_file import Manifest, Sink, Target, Written, write
from jobs.waiting import NotThereYet

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger(__name__)


class NoLabels(NotThereYet):
    """The day has no labels, so there is nothing to train on."""


LABELS = """
    SELECT user_id, as_of AS event_timestamp, churn_label
    FROM source.labels_snapshots WHERE as_of = '{as_of}' ORDER BY user_id COLLATE "C" """
"""One row per user of the month: the entities, their time and their label.

Sorted by the bytes of user_id, so that no locale decides the order."""


def build(run: Run, as_of: date, service: str, out: str) -> Manifest:
    """Writes the training set of `service` for the labels of `as_of` to `out`, with its manifest.

    Columns: user_id, event_timestamp (UTC), the service's features in its order, churn_label;
    sorted by user_id in byte order. A feature's value is the newest at or before
    event_timestamp, null where there is none.

    Args:
        out: a path or any fsspec URL; the manifest goes beside it as `OUT.manifest.json`.

    Raises:
        NoLabels: the day has none, also after STREAMFLOW_WAIT_S seconds.
        ConfigurationError: `out` is no place for a file.
        UnknownName: the registry has no such service.
    """
    target = Target(out)
    with open_store() as store:
        contract = contract_of(store, service)
        instant = datetime.combine(as_of, midnight(), UTC)
        waiting.until(lambda: require_labels(instant), f"the labels of {as_of}")

        def fill(sink: Sink) -> Manifest:
            with tracing.span("join and write"), joined(store, contract, instant) as batches:
                written = write(batches, columns(contract), sink)
            return describe(contract, as_of, written)

        manifest = target.place(fill)
    run.window = (instant, instant)
    run.counts.read = run.counts.written = manifest.rows
    log.info(
        "training set written",
        extra={
            "path": target.out,
            "rows": manifest.rows,
            "bytes": target.size(),
            "sha256": manifest.sha256,
        },
    )
    return manifest


def verify(out: str) -> Manifest:
    """Builds the training set at `out` anew from the database and compares.

    Raises:
        VerificationFailed: naming the first difference.
        ConfigurationError: no training set with a manifest is there.
    """
    target = Target(out)
    found, manifest = target.described()
    if found != manifest.sha256:
        raise VerificationFailed(
            f"{target.out}: the file is not the one its manifest describes "
            f"(sha256 {found[:12]}…, manifest {manifest.sha256[:12]}…)"
        )
    with open_store() as store:
        contract = contract_of(store, manifest.service)
        if contract.hash != manifest.contract:
            raise VerificationFailed(
                f"{target.out}: {manifest.service} has other features now "
                f"(contract {contract.hash}, manifest {manifest.contract})"
            )
        instant = datetime.combine(date.fromisoformat(manifest.as_of), midnight(), UTC)
        waiting.until(lambda: require_labels(instant), f"the labels of {manifest.as_of}")
        with joined(store, contract, instant) as batches:
            again = write(batches, columns(contract), Sink())
        if again.sha256 != manifest.sha256:
            with target.data() as stored, joined(store, contract, instant) as batches:
                raise VerificationFailed(f"{target.out}: {difference(stored, batches)}")
    return manifest


@contextmanager
def joined(
    store: "FeatureStore", contract: Contract, instant: datetime
) -> Iterator[pa.RecordBatchReader]:
    """The point-in-time join, by Feast, in the types of the contract and sorted by user."""
    job = store.get_historical_features(
        entity_df=LABELS.format(as_of=instant.isoformat()),
        features=store.get_feature_service(contract.service),
    )
    final = columns(contract)
    with job.to_record_batches() as batches:
        typed = (batch.select(final.names).cast(final) for batch in batches)
        yield pa.RecordBatchReader.from_batches(final, typed)


def require_labels(instant: datetime) -> None:
    """Returns when there are labels of `instant`, else raises NoLabels."""
    with connect() as connection:
        known = connection.execute("SELECT DISTINCT as_of FROM source.labels_snapshots ORDER BY 1")
        instants = [row[0] for row in known]
    if instant not in instants:
        days = ", ".join(str(one.date()) for one in instants)
        raise NoLabels(f"no labels of {instant.date()}; there are those of: {days or 'no day'}")


def columns(contract: Contract) -> pa.Schema:
    """The columns of a training set and their exact types, Float32 as 32 bits."""
    return pa.schema(
        [
            pa.field("user_id", pa.string()),
            pa.field("event_timestamp", pa.timestamp("us", tz="UTC")),
            *(pa.field(one.name, arrow_type(one.type)) for one in contract.features),
            pa.field("churn_label", pa.bool_()),
        ]
    )


def arrow_type(feast_type: str) -> pa.DataType:
    """The Arrow type of a Feast type by its name: Int64, Float32, Array(String), Map, …

    Maps, structs and lists of lists are their JSON text.
    """
    from feast import types

    if feast_type.endswith("Bytes"):
        return pa.binary()
    if (listed := re.fullmatch(r"(?:Array|Set)\((\w+)\)", feast_type)) and listed[1] != "Map":
        return pa.list_(arrow_type(listed[1]))
    if "(" in feast_type or feast_type in ("Map", "ScalarMap"):
        return pa.string()
    return types.from_feast_to_pyarrow_type(getattr(types, feast_type))


def describe(contract: Contract, as_of: date, written: Written) -> Manifest:
    """The manifest of what was written."""
    return Manifest(
        service=contract.service,
        contract=contract.hash,
        as_of=as_of.isoformat(),
        rows=written.rows,
        features=contract.described(),
        label="churn_label",
        null_counts=written.null_counts,
        sha256=written.sha256,
        versions=versions(),
    )


def difference(stored: pq.ParquetFile, again: pa.RecordBatchReader) -> str:
    """Where a file and the database first differ: in their columns, else in a row."""
    if stored.schema_arrow != again.schema:
        return f"columns were {stored.schema_arrow.names}, are {again.schema.names} now"
    return first_difference(rows(stored.iter_batches()), rows(again))


def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """The rows of batches, one after the other."""
    for batch in batches:
        yield from batch.to_pylist()


def first_difference(stored: Iterable[dict[str, Any]], again: Iterable[dict[str, Any]]) -> str:
    """Where two training sets, both sorted by user, first differ: by user, then by column."""
    absent: dict[str, Any] = {}
    for before, after in zip_longest(stored, again, fillvalue=absent):
        user = min([row["user_id"] for row in (before, after) if row], key=str.encode)
        if before.get("user_id") != user or after.get("user_id") != user:
            only = before.get("user_id") == user
            return f"user {user} is {'in the file only' if only else 'not in the file'}"
        for column, value in before.items():
            if repr(value) != repr(after[column]):
                return f"user {user}, {column}: file {value}, database {after[column]}"
    return "the rows are equal, the bytes are not: written by another version of pyarrow"
