"""`streamflow training-set` and `verify`: features joined with labels or with rows of one's own."""

from typing import Annotated, Any, Literal

import typer

from jobs.command_line.application import require_at_most_one, require_one, require_with
from jobs.command_line.report import reporting
from jobs.command_line.run import run
from jobs.command_line.times import LabelsOf, SplitInstant
from jobs.commands.features import Service
from jobs.run import console, ledger
from jobs.run.urls import without_secrets

OriginName = Literal["database", "lake"]


def training_set(
    out: Annotated[
        str,
        typer.Option(help="Parquet file, or CSV where it ends in .csv: a path or any fsspec URL."),
    ],
    as_of: LabelsOf = None,
    entities: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL|SQL",
            help="Rows of your own in place of a day's labels: .parquet, .csv, or a query.",
        ),
    ] = None,
    service: Service = "",
    timestamp_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --entities, the rows' times; without a zone they are UTC."
            " Without it event_timestamp.",
        ),
    ] = None,
    split_at: SplitInstant = None,
    split_by_key: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Column split: this share of the keys is test, by hash."
        ),
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(metavar="N", help="Another number gives other keys. Without it 0.")
    ] = None,
    rows_per_file: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="A folder of Parquet files, N rows each at most."),
    ] = None,
    origin: Annotated[
        OriginName,
        typer.Option(
            "--from", help="What it is read from; the lake is that of STREAMFLOW_LAKE_URL."
        ),
    ] = "database",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Exit with 0 if that day has no labels.")
    ] = False,
    if_stale: Annotated[
        bool,
        typer.Option(
            "--if-stale", help="With --as-of, exit with 0 if the one there is up to date."
        ),
    ] = False,
) -> None:
    """Join labels, or rows of your own, with a service's features; write them and a manifest.

    Each row gets what was known at its time. The labels are those of a day, by --as-of.
    """
    require_one(as_of=as_of, entities=entities)
    require_at_most_one(split_at=split_at, split_by_key=split_by_key)
    require_with("as_of", as_of, allow_empty=allow_empty, if_stale=if_stale)
    require_with("entities", entities, timestamp_column=timestamp_column)
    require_with("split_by_key", split_by_key, split_seed=split_seed)
    what: dict[str, Any] = {
        "as_of": as_of,
        "service": service,
        "out": out,
        "entities": entities,
        "timestamp_column": timestamp_column,
        "split_at": split_at,
        "split_by_key": split_by_key,
        "split_seed": split_seed,
        "rows_per_file": rows_per_file,
        "origin": origin if origin != "database" else None,
    }

    def current() -> dict[str, Any] | None:
        from jobs.training.freshness import built_before

        return built_before(**ledger.given(**what)) if if_stale else None

    how = {"allow_empty": allow_empty}
    run("training-set", "build_training_dataset", {**what, **how}, unless=current)


def verify(
    path: Annotated[str, typer.Argument(help="A training set: a path or any fsspec URL.")],
    origin: Annotated[
        OriginName,
        typer.Option(
            "--from", help="The lake in place of the database: in the versions it was built from."
        ),
    ] = "database",
) -> None:
    """Build a training set again from the database and compare, byte for byte.

    The labels of a day are read again; rows of your own are taken from the training set.
    """
    with reporting():
        from jobs.training.verify import verify as verified

        manifest = verified(path, origin)
        console.say(f"{without_secrets(path)}: {manifest.rows:,} rows, equal to the {origin}")
