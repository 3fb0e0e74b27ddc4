"""`streamflow audit`: served values compared with those that training sees."""

import secrets
from typing import Annotated

import typer

from jobs.command_line.run import run


def audit(
    users: Annotated[
        int,
        typer.Option(
            "--users",
            "--keys",
            min=1,
            help="Number of users, or of other keys that the service is asked by, at random.",
        ),
    ] = 200,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed takes the same users.")
    ] = None,
    service: Annotated[
        str,
        typer.Option(
            show_default="churn_v1, or the only one that there is", help="Feature service."
        ),
    ] = "",
    url: Annotated[
        str, typer.Option(metavar="URL", help="Ask the API there; else read the online store.")
    ] = "",
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="Largest share of users in which a feature may differ."),
    ] = 0.0,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Enter nothing in the ledger; needs no right to write."),
    ] = False,
) -> None:
    """Compare served values of users at random with what training sees; count what differs."""
    taken = secrets.randbelow(2**31) if seed is None else seed
    asked = {"service": service, "users": users, "seed": taken, "url": url}
    how = {"threshold": threshold, "read_only": read_only}
    run("audit", "audit_online", {**asked, **how})
