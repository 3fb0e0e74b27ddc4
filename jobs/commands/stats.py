"""`streamflow stats`: the statistics of features, and what has drifted."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from jobs.command_line.report import reporting
from jobs.command_line.times import parse_day
from jobs.run import console


def stats(
    view: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A feature view, or a file of months for columns that no view has. Else all.",
        ),
    ] = None,
    as_of: Annotated[
        date | None,
        typer.Option(
            parser=parse_day, metavar="DATE", help="A month by its day. Without it the newest."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DATE|FILE",
            help="Compare with a day, or with a training set; without it the month before.",
        ),
    ] = None,
    served: Annotated[
        bool,
        typer.Option(
            "--served", help="What is online now, compared with the newest month or --against."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one HTML file as well.")
    ] = None,
) -> None:
    """Print the statistics of features, and how far they have drifted from another month."""
    with reporting():
        from jobs.statistics.report import report
        from jobs.statistics.report_json import report_json
        from jobs.statistics.show import print_report, write_page

        found = report(view, as_of, against, served)
        if html is not None:
            write_page(found, html)
        if as_json:
            print(json.dumps(report_json(found), indent=2, default=console.cell), flush=True)
        else:
            print_report(found)
