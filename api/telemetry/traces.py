"""Spans of requests and of the queries that answer them, where traces are switched on.

A query answers many requests, and is a child of none of them: its span is linked to theirs.
"""

from collections.abc import Sequence
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answer.rows import Entry
from api.http import fast_path
from api.http.middleware import HEADER, route_template
from api.plans.plan import Plan
from api.reading.batch import Read, Reads, Turn

MOST_LINKS = 128
"""Requests that the span of a query names, as many as OpenTelemetry keeps by default."""


class Traced:
    """An application with a span around each request, inside its caller's (`traceparent`)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self._tracer = app, trace.get_tracer("streamflow")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or whatever else ASGI sends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        method = scope["method"]
        with self._tracer.start_as_current_span(
            method, propagate.extract(headers), SpanKind.SERVER, {"http.request.method": method}
        ) as span:

            async def observed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    describe(span, message)
                await send(message)

            try:
                await self.app(scope, receive, observed)
            finally:
                route = route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)


def describe(span: Span, start: Message) -> None:
    """Add the attributes that the answer's first message has."""
    status = start["status"]
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
    for name, text in start.get("headers", ()):
        if name.lower() == HEADER.lower().encode():
            span.set_attribute("streamflow.request_id", text.decode("latin-1"))


def route_of(scope: Scope) -> str:
    """The template of the route that answered: a span's name per user would be too many."""
    path = scope["path"]
    if "route" in scope:
        return route_template(scope)
    if path.startswith(fast_path.PREFIX):
        return fast_path.USER
    return path if path in (fast_path.USERS, fast_path.ONLINE) else "unmatched"


class TracedReads(Reads):
    """Reads whose queries have spans. Belongs to one event loop."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tracer = trace.get_tracer("streamflow")
        self._asked: dict[tuple[Plan, Any], list[SpanContext]] = {}

    async def one(self, plan: Plan, key: Any) -> tuple[Entry | None, int, float | None]:
        """The entry of a row, as Reads.one gives it; remembers which request asked."""
        own = trace.get_current_span().get_span_context()
        asked = self._asked.setdefault((plan, key), [])
        asked.append(own)
        try:
            return await super().one(plan, key)
        finally:
            asked.remove(own)
            if not asked:
                self._asked.pop((plan, key), None)

    async def _answer(self, plan: Plan, batch: dict[Any, list[Turn]]) -> None:
        contexts = [one for key in batch for one in self._asked.get((plan, key), ())]
        with self._tracer.start_as_current_span(
            "answer together",
            Context(),
            links=[Link(one) for one in contexts[:MOST_LINKS]],
            attributes={"streamflow.requests": len(contexts)},
        ):
            await super()._answer(plan, batch)

    async def _rows(self, plan: Plan, keys: Sequence[Sequence[Any]]) -> Read:
        attributes: dict[str, Any] = {
            "db.system.name": "postgresql",
            "streamflow.keys": len(keys[0]),
        }
        with self._tracer.start_as_current_span(
            "query", kind=SpanKind.CLIENT, attributes=attributes
        ):
            return await super()._rows(plan, keys)
