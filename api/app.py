"""The application and how it is wired."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio.to_thread
from fastapi import FastAPI

from api import docs, middleware, problems, routes, settings
from api.features import Features
from api.metrics import Metrics
from api.settings import ApiSettings
from api.threads import Threads

log = logging.getLogger(__name__)

DESCRIPTION = """\
The newest feature values of StreamFlow's users, bit for bit those that models are trained on,
each view with the instant that its values describe.

Every failure is an `application/problem+json` (RFC 9457). Its `instance` is the request's id,
which the log has too, and which `X-Request-ID` may set.
"""


def create_app(configuration: ApiSettings | None = None) -> FastAPI:
    """The application; the environment's settings where none are given.

    Raises:
        ConfigurationError: a variable of the environment is wrong.
    """
    chosen = configuration or settings.load()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[routes.State]:
        features = Features(chosen)
        metrics.ready.set_function(lambda: float(features.is_ready))
        features.start()  # returns at once: /livez answers while Feast is being imported
        yield routes.State(
            settings=chosen,
            features=features,
            metrics=metrics,
            reads=Threads(chosen.threads, chosen.deadline_s, features.doubt),
            probes=Threads(1, chosen.deadline_s, features.doubt),
        )
        await anyio.to_thread.run_sync(features.close)

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
    app.add_middleware(middleware.Observed, metrics=metrics)  # the last one added comes first
    return app
