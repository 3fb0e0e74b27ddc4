"""`streamflow serve-flows`: lets people start runs from the page of a Prefect server."""

import os
import sys
from typing import Annotated, Any

import typer

from jobs.command_line.report import reporting
from jobs.command_line.run import prefect_flows, unreachable_reason
from jobs.run import console, waiting
from jobs.run.urls import without_secrets
from streamflow.catalog.contract import PREFERRED
from streamflow.errors import ConfigurationError, StoreUnavailable, UnknownName


def serve_flows(
    flow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A flow to serve; may be repeated. All without any."),
    ] = None,
    service: Annotated[
        str, typer.Option(help="Feature service that the forms propose.")
    ] = PREFERRED,
    suffix: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="End of the deployments' names, where several feature stores share a server.",
        ),
    ] = "",
) -> None:
    """Serve training sets, months, materialization and audits as forms on Prefect's page.

    Names of files are those in the current folder. Ctrl-C or SIGTERM ends it and its runs.
    """
    with reporting():
        if wrong := sorted(set(suffix) & set("/%&<>")):
            raise ConfigurationError(
                f"--suffix {suffix!r} has {' '.join(wrong)}, which Prefect takes in no name"
            )
        url = server_url()
        waiting.until(lambda: require_server(url), "Prefect's server")
        deployments, serving = served_flows()
        names = list(dict.fromkeys(flow or deployments.FLOWS))
        for name in names:
            if name not in deployments.FLOWS:
                raise UnknownName("flow", name, deployments.FLOWS)
        waiting.wait_for("database")
        begins_anew = serving.serve(
            [deployments.deployment(name, suffix, service=service) for name in names],
            lambda: console.say(f"serving {', '.join(names)}; to start one: {page(url)}"),
        )
        if begins_anew:
            console.say("Prefect's server was away; beginning anew")
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606  # this command, as it was started


def server_url() -> str:
    """Returns the URL of the API of Prefect's server.

    Raises:
        ConfigurationError: PREFECT_API_URL does not say where it is.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise ConfigurationError(
            "not set: PREFECT_API_URL; on a laptop: prefect server start, in another terminal, and"
            " export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    return url


def require_server(url: str) -> None:
    """Raises StoreUnavailable where Prefect's server does not answer at `url`."""
    if reason := unreachable_reason(url):
        raise StoreUnavailable(f"Prefect does not answer at {without_secrets(url)}: {reason}")


def page(api: str) -> str:
    """The address of the page with the deployments, beside that of the API."""
    return f"{without_secrets(api).rstrip('/').removesuffix('/api')}/deployments"


def served_flows() -> tuple[Any, Any]:
    """Imports the deployments and what serves them, with Prefect's logging told of our loggers."""
    prefect_flows()
    from jobs.flows import deployments, serving

    return deployments, serving
