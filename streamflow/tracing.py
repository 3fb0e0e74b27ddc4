"""Traces by OpenTelemetry for whoever names a collector; without one nothing of it is imported.

OpenTelemetry's own variables decide: OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) turns it
on, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME and
OTEL_SDK_DISABLED mean what its specification says. Spans are sent in the background over HTTP; a
collector that is away costs a warning in the log and its spans, never a request or a run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def is_on() -> bool:
    """True where the environment names a collector."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in ENDPOINTS)


@cache
def start(service: str) -> bool:
    """Begins to send spans where the environment names a collector; whether it does.

    Args:
        service: what the spans come from, unless OTEL_SERVICE_NAME says otherwise.
    """
    if not is_on():
        return False
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = Resource({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)  # sends what is left when the process ends
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


@contextmanager
def span(name: str, **attributes: Any) -> Iterator["Span | None"]:
    """A step inside the one that is under way; a failure in it marks it as failed.

    Gives the span, to which results may be added; None where nothing is traced.

    Args:
        name: of few different ones, without values in it.
        attributes: texts, numbers, booleans or lists of them.
    """
    if not is_on():
        yield None
        return
    from opentelemetry import trace

    tracer = trace.get_tracer("streamflow")
    with tracer.start_as_current_span(name, attributes=attributes) as found:
        yield found
