"""The application and how it is wired."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from api import docs, middleware, problems, routes, settings
from api.access import AccessLog
from api.direct import Direct
from api.features import Features
from api.metrics import Metrics
from api.settings import ApiSettings

DESCRIPTION = """\
The newest feature values of StreamFlow's users, bit for bit those that models are trained on,
each view with the instant that its values describe. What is written is answered at once, and after
one second whatever fails.

Every failure is an `application/problem+json` (RFC 9457). Its `instance` is the request's id,
which the log has too, and which `X-Request-ID` may set.
"""


def create_app(configuration: ApiSettings | None = None) -> ASGIApp:
    """The service; the environment's settings where none are given.

    Raises:
        ConfigurationError: a variable of the environment is wrong.
    """
    chosen = configuration or settings.load()
    features = Features(chosen)
    direct, metrics, access = Direct(features), Metrics(features), AccessLog()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[routes.State]:
        features.start()  # returns at once: /livez answers while there is no database
        gc.freeze()  # what the imports made stays, and need not be looked through
        yield routes.State(features=features, metrics=metrics, direct=direct)
        await features.close()
        access.flush()

    app = FastAPI(
        title="StreamFlow features",
        version=version("streamflow"),
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # and with it FastAPI's own pages
        redirect_slashes=False,  # a redirect of /services/ would be the one error without a body
    )
    app.include_router(routes.router)
    problems.register(app)
    docs.register(app)
    app.add_middleware(middleware.LimitedBody, limit=chosen.max_body_bytes)
    app.add_middleware(middleware.Crashes)  # the last one added comes first
    # In front of all that a framework wraps around its routes, which costs as much as an answer.
    return middleware.Observed(app, direct, metrics, access)
