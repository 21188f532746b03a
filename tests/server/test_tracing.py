"""Traces arrive at a collector as OTLP says, a part's steps inside its request; without a collector there are none."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="OpenTelemetry is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from server import tracing
from server.access import Role

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
"""As a sender names its own trace (W3C Trace Context)."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list]]:
    """An address that takes traces, and the spans that came."""
    spans: list = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            told = ExportTraceServiceRequest.FromString(body)
            spans.extend(s for r in told.resource_spans for scope in r.scope_spans for s in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Takes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
        server.shutdown()
        thread.join()


def test_a_parts_steps_lie_in_its_request_and_that_in_the_senders_trace(line, collector):
    address, spans = collector
    settings = line.context.settings.model_copy(update={"traces_url": address})
    with tracing.exporting(settings):
        told = line.client.post(
            "/api/v1/inspections",
            headers={**line.head(Role.MACHINE), "traceparent": f"00-{TRACE}-{PARENT}-01"},
            data={"part": "Smith-4711", "station": "S-1", "trigger_id": "T-1"},
            files=[("image", ("a.png", line.picture(dark=9), "image/png"))],
        ).json()
    by_name = {span.name: span for span in spans}
    request = by_name["POST /inspections"]
    assert request.parent_span_id.hex() == PARENT
    inside = {"part.take", "pictures.decode", "pictures.store", "part.judge", "model.look", "verdict.record"}
    assert inside <= set(by_name)
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert by_name["part.take"].parent_span_id == request.span_id
    assert by_name["pictures.decode"].parent_span_id == by_name["part.take"].span_id
    assert by_name["model.look"].parent_span_id == by_name["part.judge"].span_id
    look, judge = by_name["model.look"], by_name["part.judge"]
    assert judge.start_time_unix_nano <= look.start_time_unix_nano <= look.end_time_unix_nano
    noted = {a.key: a.value.string_value for a in judge.attributes}
    assert noted["qc.inspection"] == told["id"]
    assert all("Smith-4711" not in str(span) for span in spans), "what is erased here must not lie in a collector"


def test_a_collector_that_is_away_delays_nobody(line):
    settings = line.context.settings.model_copy(update={"traces_url": "http://127.0.0.1:9/v1/traces"})
    with tracing.exporting(settings):
        assert line.send(line.picture(dark=9), part="P-1").status_code == 201


def test_without_a_collector_nothing_is_loaded():
    words = "import sys, server.app, server.serving; print(any(n.startswith('opentelemetry.sdk') for n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
