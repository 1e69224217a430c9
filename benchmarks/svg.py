"""A plot drawn as SVG, to stand inside a page. Colours are the page's: series are of the classes s0, s1, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10

from benchmarks.plots import Axis, Mark, Plot, Point, Scale

COLOURS = 6
"""Series after the sixth begin with the first colour again."""

_WIDTH, _HEIGHT = 620, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 606, 20, 284
_TICKS = 6
_MOST_POINTS_WITH_DOTS = 25
_NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)

Place = Callable[[float], float]


def draw(plot: Plot) -> str:
    """One ``<svg>`` element; its text and titles are read by screen readers."""
    points = [point for series in plot.series for point in series.points]
    xs = [x for x, _ in points] + [mark.at for mark in plot.events]
    ys = [y for _, y in points] + [mark.at for mark in plot.levels]
    x_ticks, x_place = _axis(plot.x, xs, _LEFT, _RIGHT)
    y_ticks, y_place = _axis(plot.y, ys, _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(plot.title)}">',
        *(_y_tick(y_place(tick), _tick_text(plot.y, tick)) for tick in y_ticks),
        *(_x_tick(x_place(tick), _tick_text(plot.x, tick)) for tick in x_ticks),
        *(_level(y_place(mark.at), mark) for mark in plot.levels),
        *(_event(x_place(mark.at), mark, place) for place, mark in enumerate(plot.events)),
    ]
    for place, series in enumerate(plot.series):
        drawable = [(x, y) for x, y in series.points if plot.y.scale is not Scale.LOG or y > 0]
        parts.append(_line(f"s{place % COLOURS}", series.name, drawable, x_place, y_place))
    parts.append(
        f'<text class="label" x="{(_LEFT + _RIGHT) / 2:.0f}" y="{_HEIGHT - 8}">{escape(plot.x.label)}</text></svg>'
    )
    return "".join(parts)


def _line(css_class: str, name: str, points: Sequence[Point], x_place: Place, y_place: Place) -> str:
    placed = [(x_place(x), y_place(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts = [f'<polyline class="{css_class}" points="{path}"><title>{escape(name)}</title></polyline>']
    if len(points) <= _MOST_POINTS_WITH_DOTS:
        for (x, y), (left, top) in zip(points, placed, strict=True):
            told = f"<title>{escape(name)}: {x:.4g}, {y:.4g}</title>"
            parts.append(f'<circle class="{css_class}" cx="{left:.1f}" cy="{top:.1f}" r="3.5">{told}</circle>')
    return "".join(parts)


def _y_tick(top: float, text: str) -> str:
    line = f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{top:.1f}" y2="{top:.1f}"/>'
    return f'{line}<text class="y" x="{_LEFT - 8}" y="{top + 5:.1f}">{text}</text>'


def _x_tick(left: float, text: str) -> str:
    line = f'<line class="grid" x1="{left:.1f}" x2="{left:.1f}" y1="{_BOTTOM}" y2="{_BOTTOM + 5}"/>'
    return f'{line}<text class="x" x="{left:.1f}" y="{_BOTTOM + 22}">{text}</text>'


def _level(top: float, mark: Mark) -> str:
    line = f'<line class="level" x1="{_LEFT}" x2="{_RIGHT}" y1="{top:.1f}" y2="{top:.1f}"/>'
    return f'{line}<text class="mark" x="{_RIGHT - 4}" y="{top - 5:.1f}" text-anchor="end">{escape(mark.name)}</text>'


def _event(left: float, mark: Mark, place: int) -> str:
    line = f'<line class="event" x1="{left:.1f}" x2="{left:.1f}" y1="{_TOP}" y2="{_BOTTOM}"/>'
    anchor, x = ("end", left - 5) if left > (_LEFT + _RIGHT) / 2 else ("start", left + 5)
    # Two events close to each other keep their names apart.
    y = _TOP + 14 + 18 * (place % 4)
    return f'{line}<text class="mark" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(mark.name)}</text>'


def _axis(axis: Axis, values: Sequence[float], start: float, end: float) -> tuple[list[float], Place]:
    """Ticks, and where a value lies between ``start`` and ``end`` (in the drawing's units)."""
    match axis.scale:
        case Scale.LINEAR:
            ticks = _linear_ticks(max([*values, 0.0]))
            spread: Place = float
        case Scale.LOG:
            ticks = _log_ticks([value for value in values if value > 0] or [1.0])
            spread = log10
        case Scale.TAIL:
            ticks = _tail_ticks(max([*values, 0.5]))
            spread = _nines
    low, high = spread(ticks[0]), max(spread(ticks[-1]), *(spread(value) for value in values if value > 0), -1e9)
    return ticks, lambda value: start + (end - start) * (spread(value) - low) / (high - low)


def _linear_ticks(most: float) -> list[float]:
    """From 0 to ``most`` or a little over it, in steps of 1, 2 or 5 times a power of ten."""
    step = _nice_step((most or 1.0) / _TICKS)
    return [step * place for place in range(ceil((most or 1.0) / step - 1e-9) + 1)]


def _nice_step(least: float) -> float:
    power = 10.0 ** floor(log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _log_ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten around ``values``; only the powers if those would be too many."""
    first, last = floor(log10(min(values))), ceil(log10(max(values)))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [factor * 10.0**power for power in range(first, max(last, first + 1) + 1) for factor in factors]
    below = [tick for tick in ticks if tick <= min(values)]
    above = [tick for tick in ticks if tick >= max(values)]
    return [tick for tick in ticks if below[-1] <= tick <= max(above[0], below[-1] * 2)]


def _tail_ticks(most: float) -> list[float]:
    return [share for share in _NINES if share <= most]


def _nines(share: float) -> float:
    """How many nines: 0.9 is 1, 0.99 is 2."""
    return -log10(max(1 - share, 1e-9))


def _tick_text(axis: Axis, tick: float) -> str:
    return f"{tick * 100:.10g} %" if axis.scale is Scale.TAIL else f"{tick:,.10g}".replace(",", " ")
