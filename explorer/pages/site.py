"""Holds what all pages share: settings, database, definitions, and the way a page is rendered."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from explorer import links, words
from explorer.database import Database
from explorer.definitions import KeptDefinitions
from explorer.settings import ExplorerSettings

TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True)
class Site:
    """The explorer of one process, as it answers a request."""

    settings: ExplorerSettings
    database: Database
    definitions: KeptDefinitions
    environment: Environment

    may_see_users: bool = False
    """True if who asks may see persons."""

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of a template; a value that the template misses is an error, not a blank."""
        found = self.environment.get_template(f"{template}.html.j2")
        return HTMLResponse(found.render(**values, show_users=self.may_see_users), status)


def may_see_users(chosen: ExplorerSettings, request: Request) -> bool:
    """True if who asks may see persons; a missing, repeated or unlisted name may not."""
    if not chosen.show_users:
        return False
    header = chosen.users_header
    if not header and not chosen.users_allowed:
        return True
    given = request.headers.getlist(header) if header else []
    return len(given) == 1 and bool(listed(given[0]) & listed(chosen.users_allowed))


def listed(text: str) -> set[str]:
    """The names in a text with commas."""
    return {name.strip() for name in text.split(",")} - {""}


def site_of(chosen: ExplorerSettings) -> Site:
    """The explorer by its settings; nothing is connected yet."""
    return Site(
        settings=chosen,
        database=Database(chosen),
        definitions=KeptDefinitions(chosen.project, chosen.registry_schema),
        environment=environment(),
    )


def environment() -> Environment:
    """The templates' environment: everything that comes from outside is escaped."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(links=links, words=words, version=version("streamflow"))
    return found


def of(request: Request) -> Site:
    """The explorer that answers a request, for who asks."""
    found: Site = request.app.state.site
    return replace(found, may_see_users=may_see_users(found.settings, request))
