"""What a plot shows, as plain data. :mod:`benchmarks.svg` draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.statistics import Latencies

Point = tuple[float, float]


class Scale(StrEnum):
    """How values lie along an axis."""

    LINEAR = "linear"
    LOG = "log"
    """For values above zero."""
    TAIL = "tail"
    """Shares below 1, spread so that 0.9, 0.99 and 0.999 are equally far apart, as HdrHistogram plots them."""


@dataclass(frozen=True, slots=True)
class Axis:
    """``label`` has the unit in it."""

    label: str
    scale: Scale = Scale.LINEAR


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points in the order in which they are joined."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the plot at one value, such as the wall of 10 s or the moment of a fault."""

    at: float
    name: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Series over two axes. ``levels`` are marks on y, ``events`` marks on x."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    levels: tuple[Mark, ...] = ()
    events: tuple[Mark, ...] = ()


def latency_distribution(title: str, latencies: Mapping[str, Latencies], levels: Sequence[Mark] = ()) -> Plot:
    """Latency by the share of answers that had at most this one, with the tail spread out."""
    series = tuple(Series(name, tuple(each.distribution_ms())) for name, each in latencies.items() if each.count)
    return Plot(title, Axis("share of answers", Scale.TAIL), Axis("latency, ms", Scale.LOG), series, tuple(levels))


def lines(
    title: str, x_label: str, y: Axis, series: Mapping[str, Sequence[Point]], levels: Sequence[Mark] = ()
) -> Plot:
    """Several series over one x, such as throughput against load."""
    drawn = tuple(Series(name, tuple(points)) for name, points in series.items())
    return Plot(title, Axis(x_label), y, drawn, tuple(levels))


def timeline(
    title: str,
    y: Axis,
    series: Mapping[str, Sequence[Point]],
    events: Sequence[Mark] = (),
    levels: Sequence[Mark] = (),
) -> Plot:
    """Series over seconds since the load began, with what happened meanwhile."""
    drawn = tuple(Series(name, tuple(points)) for name, points in series.items())
    return Plot(title, Axis("seconds since the load began"), y, drawn, tuple(levels), tuple(events))
