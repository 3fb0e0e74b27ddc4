"""Builds a training set: a month's labels joined point-in-time with a service's features.

Rows stream from the query into the file, so that memory stays flat however many there are.
Idempotent by its path: the same data gives the same bytes. Both files are written under
another name and renamed, so that a killed run leaves no half file under the final one. A file says
in its own metadata what it is, should it be parted from its manifest.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from datetime import time as midnight
from typing import TYPE_CHECKING

import pyarrow as pa
from psycopg import sql

from jobs.run.ledger import Run, versions
from jobs.training.difference import difference
from jobs.training.file import Facts, Manifest, Sink, Target, Written, write
from jobs.training.freshness import definitions_of
from jobs.training.labels import require_labels
from streamflow import settings, snapshots, tracing
from streamflow.catalog.contract import Contract, Feature
from streamflow.errors import ConfigurationError, VerificationFailed
from streamflow.feast.registry.contracts import contract_of, registered_names
from streamflow.feast.registry.open import open_store

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger(__name__)


LABELS = """
    SELECT user_id, as_of AS event_timestamp, {label}
    FROM {table} WHERE as_of = {as_of} ORDER BY user_id COLLATE "C" """
"""One row per user of the month: the entities, their time and their label.

Sorted by the bytes of user_id, so that no locale decides the order."""
LABEL_TYPES = {
    "boolean": pa.bool_(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "text": pa.string(),
    "date": pa.date32(),
}
"""Arrow's type of a label, by PostgreSQL's."""


def build(run: Run, as_of: date, service: str, out: str) -> Manifest:
    """Writes the training set of `service` for the labels of `as_of` to `out`, with its manifest.

    Columns: user_id, event_timestamp (UTC), the service's features in its order, churn_label;
    sorted by user_id in byte order. A feature's value is the newest at or before
    event_timestamp, null where there is none.

    Args:
        out: a path or any fsspec URL; the manifest goes beside it as `OUT.manifest.json`.

    Raises:
        NoLabels: the day has none.
        ConfigurationError: `out` is no place for a file, or the service needs request data.
        UnknownName: the registry has no such service.
    """
    target = Target(out)
    target.require_parquet()
    with open_store() as store:
        contract = contract_of(store, service)
        require_no_request_data(store, service)
        instant = datetime.combine(as_of, midnight(), UTC)
        require_labels(instant)

        def fill(sink: Sink) -> Manifest:
            facts = facts_of(contract, as_of.isoformat())
            with tracing.span("join and write"), joined(store, contract, instant) as batches:
                written = write(batches, columns(contract), sink, facts)
            return describe(contract, as_of, written, definitions_of(store, service))

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

    By the features that its manifest lists, whatever its service has by now.

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
    contract = contract_in(target, manifest)
    facts = target.facts()
    with open_store() as store:
        require_defined(store, contract, target.out)
        instant = datetime.combine(date.fromisoformat(manifest.as_of), midnight(), UTC)
        require_labels(instant)
        with joined(store, contract, instant) as batches:
            again = write(batches, columns(contract), Sink(), facts)
        if again.sha256 != manifest.sha256:
            with target.data() as stored, joined(store, contract, instant) as batches:
                raise VerificationFailed(f"{target.out}: {difference(stored, batches)}")
    return manifest


def contract_in(target: Target, manifest: Manifest) -> Contract:
    """The contract of a training set as its manifest lists it.

    Raises:
        VerificationFailed: the manifest is at odds with itself, or with what the file says of
            itself; one of an earlier version says nothing.
    """
    contract = Contract(manifest.service, tuple(Feature(**one) for one in manifest.features))
    if contract.hash != manifest.contract:
        raise VerificationFailed(
            f"{target.out}: its manifest's features are not those of its contract "
            f"(contract {contract.hash}, manifest {manifest.contract})"
        )
    expected, facts = facts_of(contract, manifest.as_of), target.facts()
    if facts is not None and (
        other := [key for key in expected if facts.get(key) != expected[key]]
    ):
        raise VerificationFailed(
            f"{target.out}: the file says that it is otherwise than its manifest: {other[0]}"
        )
    return contract


def require_defined(store: "FeatureStore", contract: Contract, out: str) -> None:
    """Returns when the registry has all features of a contract, in the same types.

    Raises:
        VerificationFailed: it has not; names the first one.
    """
    from feast.errors import FeatureViewNotFoundException

    names = registered_names(store, contract)
    for one in contract.features:
        try:
            name = names[one.view].partition("@")[0]
            view = store.registry.get_any_feature_view(name, store.project)
        except FeatureViewNotFoundException:
            raise VerificationFailed(
                f"{out}: feature view {one.view} is no longer defined"
            ) from None
        types = {field.name: str(field.dtype) for field in view.features}
        if one.name not in types:
            raise VerificationFailed(f"{out}: feature {one.reference} is no longer defined")
        if types[one.name] != one.type:
            raise VerificationFailed(
                f"{out}: feature {one.reference} was {one.type}, is {types[one.name]} now"
            )


@contextmanager
def joined(
    store: "FeatureStore", contract: Contract, instant: datetime
) -> Iterator[pa.RecordBatchReader]:
    """The point-in-time join, by Feast, in the types of the contract and sorted by user."""
    names = registered_names(store, contract)
    job = store.get_historical_features(
        entity_df=labels_of(instant),
        features=[f"{names[one.view]}:{one.name}" for one in contract.features],
    )
    final = columns(contract)
    with job.to_record_batches() as batches:
        typed = (batch.select(final.names).cast(final) for batch in batches)
        yield pa.RecordBatchReader.from_batches(final, typed)


def labels_of(instant: datetime) -> str:
    """The query of the labels of an instant."""
    declared = snapshots.load(settings.streamflow().feature_repo)
    query = sql.SQL(LABELS).format(
        label=sql.Identifier(declared.label),
        table=sql.Identifier("source", declared.labels.table),
        as_of=instant.isoformat(),
    )
    return query.as_string()


def require_no_request_data(store: "FeatureStore", service: str) -> None:
    """Returns when all features of a service can be computed from what is stored.

    Raises:
        ConfigurationError: an on-demand view takes values from the request; names it and them.
    """
    views = {one.name: one for one in store.list_on_demand_feature_views()}
    for projection in store.get_feature_service(service).feature_view_projections:
        view = views.get(projection.name)
        if view is not None and (names := sorted(view.get_request_data_schema())):
            raise ConfigurationError(
                f"feature service {service}: on-demand feature view {view.name} takes "
                f"{', '.join(names)} from the request, which labels do not have"
            )


def columns(contract: Contract) -> pa.Schema:
    """The columns of a training set and their exact types, Float32 as 32 bits."""
    return pa.schema(
        [
            pa.field("user_id", pa.string()),
            pa.field("event_timestamp", pa.timestamp("us", tz="UTC")),
            *(pa.field(one.name, arrow_type(one.type)) for one in contract.features),
            label_field(),
        ]
    )


def label_field() -> pa.Field:
    """The label's name and type."""
    declared = snapshots.load(settings.streamflow().feature_repo)
    (column,) = declared.labels.columns.values()
    return pa.field(declared.label, LABEL_TYPES[column.type])


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


def facts_of(contract: Contract, as_of: str) -> Facts:
    """Describes a training set as its file says of itself.

    No version of the code is in it, nor a description: the same data gives the same bytes, whoever
    writes it.
    """
    features = [{"view": one.view, "name": one.name, "type": one.type} for one in contract.features]
    return {
        "service": contract.service,
        "contract": contract.hash,
        "as_of": as_of,
        "label": label_field().name,
        "features": features,
    }


def describe(contract: Contract, as_of: date, written: Written, definitions: str) -> Manifest:
    """The manifest of what was written."""
    return Manifest(
        service=contract.service,
        contract=contract.hash,
        as_of=as_of.isoformat(),
        rows=written.rows,
        features=contract.described(),
        label=label_field().name,
        null_counts=written.null_counts,
        sha256=written.sha256,
        versions=versions(),
        definitions=definitions,
    )
