"""The application, wired from its parts."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan

from api import settings
from api.access import guard
from api.access.callers import CallersByKey
from api.http import middleware, openapi, problems, routes
from api.http.fast_path import FastPath
from api.reading.batch import Reads
from api.reading.features import Features
from api.settings import ApiSettings
from api.telemetry.access_log import AccessLog
from api.telemetry.caller_notes import CallerNotes
from api.telemetry.callers import CallerMetrics
from api.telemetry.ledger import LedgerMetrics
from api.telemetry.metrics import Metrics
from streamflow import tracing

DESCRIPTION = """\
The newest feature values of users, or of other keys, bit for bit those that models are trained on,
each view with the instant that its values describe. What is written is answered at once: no answer
leaves out what could be read in the service's database a second before it was asked for, whatever
fails. The one exception says so, by `"source": "cache"`: an answer kept from before, given while
that database is away, where this is switched on. Where features are read from a replica of the
database, the replica's lag takes the place of that second: each answer has it (`metadata.replica`,
or the header `Replica-Lag`), up to a bound beyond which it is 503.

JSON has one kind of number: a Float32 comes as the 64-bit float which equals it. A model that
computes in 32 bits casts it back first, by the types of its training set's manifest.
`/registry.pb` is a registry for Feast's SDK.

Every failure is an `application/problem+json` (RFC 9457). Its `instance` is the request's id,
which the log has too, and which `X-Request-ID` may set.
"""


def create_app(configuration: ApiSettings | None = None) -> ASGIApp:
    """The service; the environment's settings where none are given.

    Raises:
        ConfigurationError: a variable of the environment is wrong, or the folder of keys.
    """
    chosen = configuration or settings.load()
    is_traced = tracing.start("streamflow-api")
    features = Features(chosen, traced_reads() if is_traced else Reads)
    callers = guard.callers_of(chosen, features)
    fast_path = FastPath(chosen.max_body_bytes, chosen.deadline_s)
    metrics, access_log = Metrics(features), AccessLog()
    ledger, notes = LedgerMetrics(features), CallerNotes(features)
    metrics.add(ledger)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[routes.State]:
        features.start()  # returns at once: /livez answers while there is no database
        ledger.start()
        notes.start()
        if callers is not None:
            callers.start()
        gc.freeze()  # what the imports made stays, and need not be looked through
        yield routes.State(features=features, metrics=metrics, fast_path=fast_path)
        if callers is not None:
            await callers.close()
        await ledger.close()
        await notes.close()
        await features.close()
        access_log.flush()

    app = routed(chosen.keys_dir is not None, chosen.rate_per_s > 0, lifespan)
    app.add_middleware(
        middleware.LimitedBody, limit=chosen.max_body_bytes, seconds=chosen.deadline_s
    )
    app.add_middleware(middleware.Crashes)  # the last one added comes first
    # In front of all that a framework wraps around its routes, which costs as much as an answer.
    outermost: ASGIApp = middleware.Observed(app, fast_path, metrics, access_log)
    if callers is not None:
        counts = CallerMetrics(callers if isinstance(callers, CallersByKey) else None)
        metrics.add(counts)
        outermost = guard.Guarded(app, fast_path, metrics, access_log, callers, counts)
    return traced(outermost) if is_traced else outermost


def routed(needs_keys: bool, has_limit: bool, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The routes with their problems and documentation, for callers with keys and limits or not."""
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
    openapi.register(app, needs_keys, has_limit)
    return app


def traced_reads() -> type[Reads]:
    """The class of reads with spans; OpenTelemetry is imported only where traces are on."""
    from api.telemetry.traces import TracedReads

    return TracedReads


def traced(app: ASGIApp) -> ASGIApp:
    """The application with a span around each request."""
    from api.telemetry.traces import Traced

    return Traced(app)
