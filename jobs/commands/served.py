"""`streamflow compare` and `audit`: what is served beside what training sees."""

import secrets
from typing import Annotated

import typer

from jobs.run import console
from jobs.run.report import reporting, run


def compare(
    api: Annotated[str, typer.Option(metavar="URL", help="Where the API is.")],
    users: Annotated[int, typer.Option(min=1, max=1000, help="How many users.")] = 20,
    service: Annotated[str, typer.Option(help="Feature service.")] = "churn_v1",
) -> None:
    """Compare what the API serves with what training would see; name the first difference."""
    with reporting():
        from jobs.audit.compare import compare as compared

        found = compared(api, service, users)
        if not found.users:
            console.say("no user is both known and online: nothing to compare")
        else:
            console.say(f"{found.users} users, {found.values} values: served as trained on")


def audit(
    users: Annotated[int, typer.Option(min=1, help="How many, at random.")] = 200,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed takes the same users; unset: others.")
    ] = None,
    service: Annotated[str, typer.Option(help="Feature service.")] = "churn_v1",
    url: Annotated[
        str, typer.Option(metavar="URL", help="Ask the API there; else the online store is read.")
    ] = "",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of users that may differ.")
    ] = 0.0,
) -> None:
    """Compare served values of users at random with what training sees; count what differs."""
    taken = secrets.randbelow(2**31) if seed is None else seed
    asked = {"service": service, "users": users, "seed": taken, "url": url}
    run("audit", "audit_online", {**asked, "threshold": threshold})
