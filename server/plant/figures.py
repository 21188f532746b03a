"""Figures of the plant for Prometheus, counted by the stations themselves and read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.plant.station import Station


class PlantFigures(Collector):
    """Every station's, by its name."""

    def __init__(self, stations: Mapping[str, Station]) -> None:
        self._stations = stations

    def collect(self) -> Iterator[Metric]:
        """Called for each reading of /metrics."""
        able = GaugeMetricFamily("qc_station_able", "1: a PLC's station can take parts.", labels=["station"])
        lost = CounterMetricFamily(
            "qc_camera_frames_lost", "Frames lost on their way from a station's cameras.", labels=["station"]
        )
        for name, station in self._stations.items():
            able.add_metric([name], float(station.problem is None))
            lost.add_metric([name], station.frames_lost)
        yield able
        yield lost
