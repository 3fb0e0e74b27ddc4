"""Builds a training set: a month's labels joined point-in-time with a service's features.

Rows stream from the query into the file, so that memory stays flat however many there are.
Idempotent by its path: the same data gives the same bytes. Both files are written under
another name and renamed, so that a killed run leaves no half file under the final one. A file says
in its own metadata what it is, should it be parted from its manifest.
"""

import logging
from datetime import date

from jobs.run.instants import midnight
from jobs.run.ledger import Run
from jobs.run.versions import versions
from jobs.training.file import Facts, Manifest, Sink, Target, Written, write
from jobs.training.freshness import definitions_of
from jobs.training.join import columns, joined, label_field, require_no_request_data
from jobs.training.labels import require_labels
from streamflow import tracing
from streamflow.catalog.contract import Contract
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store

log = logging.getLogger(__name__)


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
        instant = midnight(as_of)
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


def facts_of(contract: Contract, as_of: str) -> Facts:
    """Describes a training set in the words of its own metadata.

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
    """Makes the manifest of a training set that was written."""
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
