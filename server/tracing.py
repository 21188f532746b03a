"""Where the time of a part goes, as OpenTelemetry traces, where `QC_TRACES_URL` says who collects them.

A request is a span, and in it what the inspector does, also in its worker threads. A sender's own trace
(`traceparent`, W3C Trace Context) is continued. Without a collector nothing of this is loaded, and spans cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from qc.errors import InvalidInput
from server.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_tracer: Any = None
"""An `opentelemetry.trace.Tracer`; None: nobody collects."""


@contextmanager
def exporting(settings: Settings) -> Iterator[None]:
    """Send spans to the collector until the end of the block, which waits until the last are sent.

    Raises:
        InvalidInput: the packages for it are not installed.
    """
    global _tracer
    if not settings.traces_url:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidInput("QC_TRACES_URL needs OpenTelemetry; install it with pip install .[traces]") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "qc"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_url)))
    _tracer = provider.get_tracer("qc")
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


def request(method: str, rule: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
    """A span of the server's kind for one request; `rule` is the path's template, never the path, which names parts."""
    if _tracer is None:
        return nullcontext()
    from opentelemetry import propagate, trace

    told = {"http.request.method": method, "http.route": rule}
    return _tracer.start_as_current_span(  # type: ignore[no-any-return]
        f"{method} {rule}", context=propagate.extract(headers), kind=trace.SpanKind.SERVER, attributes=told
    )


def traced(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make each call of a function a span of this name."""

    def around(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if _tracer is None:
                return function(*args, **kwargs)
            with _tracer.start_as_current_span(name):
                return function(*args, **kwargs)

        return call

    return around


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """The function for another thread, whose spans are to lie in the present one."""
    if _tracer is None:
        return function
    from opentelemetry import context

    here = context.get_current()

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        token = context.attach(here)
        try:
            return function(*args, **kwargs)
        finally:
            context.detach(token)

    return call


def note(**told: str | int | float) -> None:
    """Add to the present span what it is about, such as `inspection`: ids and numbers, no names of parts."""
    if _tracer is None:
        return
    from opentelemetry import trace

    trace.get_current_span().set_attributes({f"qc.{name}": value for name, value in told.items()})
