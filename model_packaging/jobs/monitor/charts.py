"""Charts as SVG: a pair of bars for each bin, and a pair of cumulative distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from model_packaging.jobs.monitor.summaries import MISSING, OTHER

TRAINING, TRAFFIC = "#a9b4c2", "#1f5fa8"
_GAP = 0.24


def bars(bins: Sequence[Mapping[str, Any]], name: str, *, large: bool = False) -> Markup:
    """Shares in training (grey) and in traffic (blue). A bin's numbers show when it is pointed at; a large
    chart bears the bins' labels too. The bins of missing and of other values are left out where there are none."""
    shown = [one for one in bins if one["label"] not in (MISSING, OTHER) or one["training"] or one["traffic"]]
    width, height, foot, margin = (520, 150, 92, 54) if large else (230, 52, 0, 0)
    slot = width / len(shown)
    bar = slot * (1 - _GAP) / 2
    top = max((max(one["training"], one["traffic"]) for one in shown), default=0.0) or 1.0
    parts: list[Markup] = []
    for number, one in enumerate(shown):
        left = number * slot + slot * _GAP / 2
        parts.append(
            Markup("<g><title>{}: training {:.1%}, traffic {:.1%}</title>").format(
                one["label"], one["training"], one["traffic"]
            )
        )
        parts.append(
            Markup('<rect x="{:.1f}" y="0" width="{:.1f}" height="{}" fill="none" pointer-events="all"/>').format(
                number * slot, slot, height
            )
        )
        for share, color, x in ((one["training"], TRAINING, left), (one["traffic"], TRAFFIC, left + bar)):
            tall = share / top * (height - 4)
            parts.append(
                Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"/>').format(
                    x, height - tall, bar, tall, color
                )
            )
        if large:
            label = one["label"] if len(one["label"]) <= 18 else one["label"][:17] + "…"
            at = f"{left + bar:.1f},{height + 12}"
            turned = Markup(' text-anchor="end" transform="rotate(-40 {})"').format(at)
            how = turned if len(shown) > 4 else Markup(' text-anchor="middle"')
            x, y = at.split(",")
            parts.append(Markup('<text x="{}" y="{}"{}>{}</text>').format(x, y, how, label))
        parts.append(Markup("</g>"))
    return Markup(
        '<svg viewBox="{} 0 {} {}" width="{}" role="img" aria-label="{}: training and traffic">'
        '<line x1="0" x2="{}" y1="{}" y2="{}" stroke="#5f6b7a" stroke-width="0.8"/>{}</svg>'
    ).format(
        -margin, width + margin, height + foot, width + margin, name, width, height, height, Markup("").join(parts)
    )


def curves(curve: Mapping[str, Sequence[float]], name: str) -> Markup:
    """The cumulative distributions of training (grey) and of traffic (blue), with the greatest difference between
    them, over training's own range; a label at each end of it."""
    width, height, foot = 200, 84, 16
    values = curve["values"]
    least, most = values[0], values[-1]
    across = [width * ((value - least) / (most - least) if most > least else 0.5) for value in values]
    parts: list[Markup] = []
    for side, color in (("training", TRAINING), ("traffic", TRAFFIC)):
        points = " ".join(f"{x:.1f},{height * (1 - y):.1f}" for x, y in zip(across, curve[side], strict=True))
        parts.append(Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>').format(points, color))
    gaps = [abs(p - q) for p, q in zip(curve["training"], curve["traffic"], strict=True)]
    at = max(range(len(gaps)), key=gaps.__getitem__)
    ends = height * (1 - curve["training"][at]), height * (1 - curve["traffic"][at])
    parts.append(
        Markup(
            '<line x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}" stroke="#b3261e" stroke-dasharray="3 2">'
            "<title>{:.1%} of training and {:.1%} of traffic are at most {:.4g}</title></line>"
        ).format(*ends, curve["training"][at], curve["traffic"][at], values[at], x=across[at])
    )
    return Markup(
        '<svg viewBox="-1 -2 {} {}" width="{}" role="img" aria-label="{}: cumulative distributions">'
        '<line x1="0" x2="{}" y1="{}" y2="{}" stroke="#5f6b7a" stroke-width="0.8"/>{}'
        '<text x="0" y="{}">{:.4g}</text><text x="{}" y="{}" text-anchor="end">{:.4g}</text></svg>'
    ).format(
        width + 2, height + foot + 2, width, name, width, height, height, Markup("").join(parts),
        height + 12, least, width, height + 12, most,
    )  # fmt: skip
