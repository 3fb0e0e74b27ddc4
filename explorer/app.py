"""The application, wired from its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from explorer import settings
from explorer.headers import Guarded
from explorer.pages import errors, feature, features, home, runs, site, users
from explorer.settings import ExplorerSettings

STATIC = Path(__file__).parent / "static"


def create_app(configuration: ExplorerSettings | None = None) -> ASGIApp:
    """The explorer; the environment's settings where none are given.

    Raises:
        ConfigurationError: a variable of the environment is wrong.
    """
    here = site.site_of(configuration or settings.load())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        here.database.open()  # returns at once: pages say it where there is no database
        yield
        here.database.close()

    app = Starlette(routes=ROUTES, exception_handlers=errors.HANDLERS, lifespan=lifespan)
    app.state.site = here
    app.router.redirect_slashes = False
    return Guarded(app)


def alive(_: Request) -> Response:
    """The answer to a probe of the process, which does not ask the database."""
    return PlainTextResponse("alive\n")


ROUTES = [
    Route("/", home.home),
    Route("/features", features.features),
    Route("/features/{view}/{feature}", feature.feature),
    Route("/views/{view}", features.view),
    Route("/services/{service}", features.service),
    Route("/users", users.users),
    Route("/runs", runs.runs),
    Route("/runs/{run}", runs.run),
    Route("/livez", alive),
    Mount("/static", StaticFiles(directory=STATIC)),
]
"""Everything that is answered, by GET and HEAD alone."""
