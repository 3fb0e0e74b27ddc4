"""Builds a training set: a spine joined point-in-time with a service's features.

The spine is the labels of a day, or rows of one's own. Rows stream from the query into the files,
so that memory stays flat however many there are. Idempotent by its path: the same data gives the
same bytes. Data and manifest are written under other names and renamed, so that a killed run leaves
nothing half done under the final ones. A Parquet file says in its own metadata what it is, should
it be parted from its manifest.
"""

import logging
from datetime import date
from typing import Any

from jobs.run.instants import midnight
from jobs.run.result import Run
from jobs.run.versions import versions
from jobs.training import origins
from jobs.training.forms import Facts, Form, Open, Written, kept, write
from jobs.training.freshness import definitions_of
from jobs.training.join import joined, label_field, require_no_request_data
from jobs.training.layout import PLAIN, Layout
from jobs.training.manifest import Manifest
from jobs.training.origins import Origin, OriginName
from jobs.training.tally import Tally
from jobs.training.target import Target
from streamflow import tracing, training
from streamflow.catalog.contract import Contract

log = logging.getLogger(__name__)


def build(
    run: Run,
    as_of: date,
    service: str,
    out: str,
    layout: Layout = PLAIN,
    origin: OriginName = "database",
) -> Manifest:
    """Writes the training set of `service` for the labels of `as_of` to `out`, with its manifest.

    Columns: user_id, event_timestamp (UTC), the service's features in its order, churn_label;
    sorted by user_id in byte order. A feature's value is the newest at or before
    event_timestamp, null where there is none.

    Args:
        out: a path or any fsspec URL, Parquet unless it ends in .csv; the manifest goes beside it
            as `OUT.manifest.json`.
        origin: what labels and features are read from; the lake gives the same bytes.

    Raises:
        NoLabels: the day has none.
        ConfigurationError: `out` is no place for a file, or the service needs request data.
        UnknownName: the registry has no such service.
    """
    target = Target(out)
    form = target.form(layout.rows_per_file)
    instant = midnight(as_of)
    with origins.opened(service, origin) as found:
        features = found.features
        require_no_request_data(features)
        labels = found.labels(instant)

        def fill(opened: Open) -> Manifest:
            with tracing.span("join and write"), joined(features, labels, layout.split) as made:
                day, split = as_of.isoformat(), split_of(made, layout)
                facts = facts_of(features.contract, as_of=day, split=split)
                return described(made, form, opened, facts, layout, found)

        manifest = target.place(form, fill)
    run.window = (instant, instant)
    return tell(run, target, manifest)


def build_from(
    run: Run,
    entities: str,
    service: str,
    out: str,
    layout: Layout = PLAIN,
    timestamp_column: str | None = None,
    origin: OriginName = "database",
) -> Manifest:
    """Writes the training set of `service` for a spine to `out`, with its manifest.

    Columns: those of the spine in their order and types, the service's features in its order, and
    `split` where one is wanted; the rows are the spine's, in its order.

    Args:
        entities: a file's path or fsspec URL, or a query; see `streamflow.training.build`.
        out, origin: as for `build`; a query is run by the database alone.

    Raises:
        SpineRefused: the spine is not fit for it; nothing was written.
        QueryRefused: PostgreSQL does not take the query.
        ConfigurationError: there is no such file, or `out` is no place for one.
        UnknownName: the registry has no such service.
    """
    timestamp = timestamp_column or training.EVENT_TIMESTAMP
    target = Target(out)
    form = target.form(layout.rows_per_file)
    target.require_other_than(entities)
    with origins.opened(service, origin) as found:
        features = found.features

        def fill(opened: Open) -> Manifest:
            with (
                tracing.span("join and write"),
                training.opened(entities, features, timestamp, layout.split) as made,
            ):
                final = kept(made.reader.schema, form)
                spine = {
                    "kind": made.kind,
                    "sha256": made.sha256,
                    "timestamp": timestamp,
                    "columns": [
                        {"name": name, "type": str(final.field(name).type)} for name in made.spine
                    ],
                }
                split = split_of(made, layout)
                facts = facts_of(features.contract, spine=spine, split=split)
                return described(made, form, opened, facts, layout, found)

        manifest = target.place(form, fill)
    without = manifest.spine["without_features"]
    if without:
        run.message = f"{without:,} of {manifest.rows:,} rows have no feature at their time"
        log.warning("rows without features", extra={"rows": without, "of": manifest.rows})
    run.details["spine"] = {
        "sha256": manifest.spine["sha256"],
        "rows_sha256": manifest.spine["rows_sha256"],
        "without_features": without,
    }
    return tell(run, target, manifest)


def split_of(made: training.TrainingSet, layout: Layout) -> dict[str, Any]:
    """The split of a training set as it is described; empty for none."""
    return layout.split.described(made.keys) if layout.split else {}


def facts_of(
    contract: Contract, *, as_of: str = "", spine: Facts | None = None, split: Facts | None = None
) -> Facts:
    """Describes a training set in the words of its own metadata.

    No version of the code is in it, nor a description: the same data gives the same bytes, whoever
    writes it.
    """
    features = [{"view": one.view, "name": one.name, "type": one.type} for one in contract.features]
    source: Facts = {"spine": spine} if spine else {"as_of": as_of, "label": label_field().name}
    return {
        "service": contract.service,
        "contract": contract.hash,
        **source,
        "features": features,
        **({"split": split} if split else {}),
    }


def described(
    made: training.TrainingSet,
    form: Form,
    opened: Open,
    facts: Facts,
    layout: Layout,
    found: Origin,
) -> Manifest:
    """Writes a training set, and describes it."""
    tally = Tally(made.spine, made.joined, bool(layout.split))
    written = written_in(form, made, tally, opened, facts)
    spine, split = facts.get("spine"), facts.get("split")
    return Manifest(
        service=made.contract.service,
        contract=made.contract.hash,
        as_of=facts.get("as_of", ""),
        rows=written.rows,
        features=made.contract.described(),
        label=facts.get("label", ""),
        null_counts=written.null_counts,
        sha256=written.sha256,
        versions=versions(),
        definitions=definitions_of(found.features),
        lake=found.described(),
        spine=spine | tally.described() if spine else {},
        split=split | {"rows": tally.rows_by_side()} if split else {},
        rows_per_file=layout.rows_per_file,
        files=written.files,
    )


def written_in(
    form: Form, made: training.TrainingSet, tally: Tally, opened: Open, facts: Facts
) -> Written:
    """Writes a training set in a form; of a spine's, Arrow's own types are noted as well."""
    final = kept(made.reader.schema, form)
    batches = (batch.cast(final) for batch in made.reader)
    return write(tally.watch(batches), final, form, opened, facts, typed="spine" in facts)


def tell(run: Run, target: Target, manifest: Manifest) -> Manifest:
    """Enters a training set that was written in its run and the log."""
    run.counts.read = run.counts.written = manifest.rows
    run.manifest = manifest.summary()
    extra = {
        "path": target.out,
        "rows": manifest.rows,
        "bytes": target.size(),
        "sha256": manifest.sha256,
    }
    log.info("training set written", extra=extra)
    return manifest
