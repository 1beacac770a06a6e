"""Bar charts as SVG, one pair of bars for each bin."""

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
