"""A metric over time as SVG: a line through the points, and a band of their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

LINE, BAND = "#1f5fa8", "#c9dbef"
_WIDTH, _HEIGHT, _LEFT, _TOP, _FOOT = 460, 120, 52, 8, 20
_MOST_MARKS = 40


def over_time(points: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """One metric of the points that have it, oldest first. Each point's numbers show when it is pointed at; gaps in
    time are as wide as they were long. A point that was counted anew after a correction is hollow."""
    found = [(datetime.fromisoformat(one["at"]), one, one["metrics"][name]) for one in points if name in one["metrics"]]
    moments = [at.timestamp() for at, _, _ in found]
    values = [one["value"] for _, _, one in found]
    bounds = [one["interval"] or [one["value"], one["value"]] for _, _, one in found]
    low, high = min([*values, *(b[0] for b in bounds)]), max([*values, *(b[1] for b in bounds)])
    room = (high - low) * 0.08 or abs(high) * 0.05 or 0.05
    low, high = low - room, high + room
    span = moments[-1] - moments[0]

    def x(moment: float) -> float:
        return _LEFT + 6 + ((moment - moments[0]) / span if span else 0.5) * (_WIDTH - _LEFT - 12)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * _HEIGHT

    def path(numbers: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x(moment):.1f},{y(value):.1f}" for moment, value in numbers)

    if len(found) == 1:  # a band needs two points: the only one's interval is drawn to both sides of it
        edges = [(-5.0, bounds[0][0]), (5.0, bounds[0][0]), (5.0, bounds[0][1]), (-5.0, bounds[0][1])]
        band = " ".join(f"{x(moments[0]) + aside:.1f},{y(value):.1f}" for aside, value in edges)
    else:
        upper = [(moment, b[1]) for moment, b in zip(moments, bounds, strict=True)]
        lower = [(moment, b[0]) for moment, b in zip(moments, bounds, strict=True)]
        band = f"{path(upper)} {path(lower[::-1])}"
    parts = [Markup('<polygon points="{}" fill="{}"/>').format(band, BAND)]
    for value in (low + room, high - room):
        parts.append(
            Markup(
                '<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" stroke="#dfe5ec"/>'
                '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(_LEFT, _WIDTH, y(value), y(value), _LEFT - 6, y(value) + 4, f"{value:.4g}")
        )
    parts.append(
        Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="1.6"/>').format(
            path(list(zip(moments, values, strict=True))), LINE
        )
    )
    size = 3.2 if len(found) <= _MOST_MARKS else 1.6
    for moment, (at, point, one) in zip(moments, found, strict=True):
        between = " ({:.4g} to {:.4g})".format(*one["interval"]) if one["interval"] else ""
        note = ", counted anew after a correction" if point["recounted"] else ""
        parts.append(
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}" stroke="{}"><title>{}</title></circle>').format(
                x(moment),
                y(one["value"]),
                size,
                "#fff" if point["recounted"] else LINE,
                LINE,
                f"{at:%Y-%m-%d %H:%M}: {one['value']:.4g}{between}, {point['rows']:,} labels{note}",
            )
        )
    foot = _TOP + _HEIGHT + 16
    ends = [(found[0][0], "start", _LEFT), (found[-1][0], "end", _WIDTH)]
    for at, anchor, place in ends if span else [(found[0][0], "middle", (_LEFT + _WIDTH) // 2)]:
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="{}">{:%Y-%m-%d %H:%M}</text>').format(place, foot, anchor, at)
        )
    return Markup('<svg viewBox="0 0 {} {}" width="{}" role="img" aria-label="{} over time">{}</svg>').format(
        _WIDTH, _TOP + _HEIGHT + _FOOT, _WIDTH, name, Markup("").join(parts)
    )
