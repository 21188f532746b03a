"""Figures for Prometheus. One registry for each app, so that several apps fit into one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The server's own figures; a part may add its own to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "qc_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "qc_request_seconds", "Time to answer, in seconds.", ["method", "route"], registry=self.registry
        )
        self._inspections = Counter(
            "qc_inspections", "Parts inspected.", ["station", "verdict"], registry=self.registry
        )
        self._inspecting = Histogram(
            "qc_inspection_seconds",
            "From the last byte received to the verdict, in seconds.",
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120),
            registry=self.registry,
        )
        self.rejected = Counter("qc_rejected_pictures", "Pictures refused.", ["way"], registry=self.registry)
        self.camera_faults = Counter(
            "qc_camera_faults", "Pictures at fault.", ["station", "view", "fault"], registry=self.registry
        )
        self.shadow_seen = Counter("qc_shadow_parts", "Parts a challenger looked at.", registry=self.registry)
        self.shadow_shed = Counter("qc_shadow_shed", "Parts a challenger had no time for.", registry=self.registry)
        self.late = Counter("qc_late_parts", "Parts without a verdict in time.", ["station"], registry=self.registry)
        self.refused = Counter("qc_refused_parts", "Parts refused as too many wait.", registry=self.registry)
        self.engine_frames = Counter(
            "qc_engine_frames", "Frames answered, where another server may.", ["engine"], registry=self.registry
        )
        self.engine_failures = Counter(
            "qc_engine_failures", "Why the other server was left.", ["why"], registry=self.registry
        )
        self.waiting = Gauge("qc_inspections_waiting", "Parts received and not yet judged.", registry=self.registry)
        self.listeners = Gauge("qc_event_listeners", "Clients that listen to events.", registry=self.registry)
        self.disk_free = Gauge("qc_disk_free_bytes", "Free disk where the data lie.", registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def inspected(self, station: str, verdict: str, seconds: float) -> None:
        """Count one inspection."""
        self._inspections.labels(station, verdict).inc()
        self._inspecting.observe(seconds)

    def text(self) -> bytes:
        """The figures in Prometheus's text format."""
        return generate_latest(self.registry)
