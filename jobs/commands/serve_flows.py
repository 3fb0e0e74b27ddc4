"""`streamflow serve-flows`: lets people start runs from the page of a Prefect server."""

import os
from typing import Annotated, Any

import typer

from jobs.command_line.report import reporting
from jobs.command_line.run import prefect_flows, unreachable_reason
from jobs.run import console
from jobs.run.urls import without_secrets
from streamflow.errors import ConfigurationError, StoreUnavailable, UnknownName


def serve_flows(
    flow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A flow to serve; may be repeated. All without any."),
    ] = None,
) -> None:
    """Serve training sets, months, materialization and audits as forms on Prefect's page."""
    with reporting():
        url = require_server()
        deployments = served_flows()
        names = list(dict.fromkeys(flow or deployments.FLOWS))
        for name in names:
            if name not in deployments.FLOWS:
                raise UnknownName("flow", name, deployments.FLOWS)
        console.say(f"serving {', '.join(names)}; to start one: {page(url)}")
        deployments.serve_flows(names)


def require_server() -> str:
    """Returns the URL of the API of Prefect's server, which answers.

    Raises:
        ConfigurationError: PREFECT_API_URL does not say where it is.
        StoreUnavailable: it does not answer there.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise ConfigurationError(
            "not set: PREFECT_API_URL; on a laptop: prefect server start, in another terminal, and"
            " export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    if reason := unreachable_reason(url):
        raise StoreUnavailable(f"Prefect does not answer at {without_secrets(url)}: {reason}")
    return url


def page(api: str) -> str:
    """The address of the page with the deployments, beside that of the API."""
    return f"{without_secrets(api).rstrip('/').removesuffix('/api')}/deployments"


def served_flows() -> Any:
    """Imports the deployments, with Prefect's logging told about our loggers."""
    prefect_flows()
    from jobs.flows import deployments

    return deployments
