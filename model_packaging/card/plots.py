# pyright: basic
# (matplotlib carries no types)
"""The card's plots, as SVG text whose bytes depend on the numbers only."""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .summary import headline, ranked, strongest, value_of

BLUE, GREY, LIGHT = "#1f5fa8", "#5f6b7a", "#d7dee8"

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    # A column or a class may be named "$x_", which is no formula.
    "text.parse_math": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def plots(validation: dict[str, Any]) -> dict[str, str]:
    """Title to SVG, for every plot that the validation has numbers for."""
    curves = validation.get("curves") or {}
    makers: list[tuple[str, Any, Callable[[Any, Any], None]]] = [
        ("Metrics with 95 % intervals", _intervals(validation), _draw_intervals),
        ("Cross-validation folds", _folds(validation), _draw_folds),
        ("ROC curve", curves.get("roc"), _draw_roc),
        ("Precision and recall", curves.get("precision_recall"), _draw_precision_recall),
        ("Calibration", curves.get("calibration"), _draw_calibration),
        ("Confusion matrix", curves.get("confusion"), _draw_confusion),
        ("Predicted and actual", curves.get("predicted"), _draw_predicted),
        ("Residuals", curves.get("residuals"), _draw_residuals),
        ("Permutation importance", (validation.get("importance") or {}), _draw_importance),
    ]
    drawn = {title: _svg(title, draw, data) for title, data, draw in makers if data}
    for column, segments in sorted((validation.get("segments") or {}).items()):
        data = _segment_values(segments, validation)
        if data:
            title = f"{data['metric']} by {column}"
            drawn[title] = _svg(title, _draw_segments, data)
    return drawn


def _svg(title: str, draw: Callable[[Any, Any], None], data: Any) -> str:
    # Element ids are hashes salted with the title: stable, and distinct between plots on one page.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(4.6, 3.3), layout="constrained")
        draw(figure.subplots(), data)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = target.getvalue()
    text = text[text.index("<svg") :]
    # Without a fixed size the drawing fits its column.
    text = re.sub(r'^(<svg[^>]*?) (?:height="[^"]*") ?', r"\1 ", text, count=1)
    text = re.sub(r'^(<svg[^>]*?) (?:width="[^"]*") ?', r"\1 ", text, count=1)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _short(name: str) -> str:
    """A label that leaves room for the drawing."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def _intervals(validation: dict[str, Any]) -> Any:
    """Metrics between 0 and 1 share an axis; errors in the target's unit would flatten them."""
    metrics = validation.get("metrics") or {}
    found = {
        name: entry for name, entry in sorted(metrics.items()) if isinstance(entry, dict) and entry.get("interval")
    }
    within = {name: entry for name, entry in found.items() if 0 <= entry["value"] <= 1}
    return within if len(within) >= len(found) / 2 else found


def _draw_intervals(axes: Any, metrics: Any) -> None:
    names = list(metrics)[::-1]
    for row, name in enumerate(names):
        low, high = metrics[name]["interval"]
        axes.plot([low, high], [row, row], color=BLUE, linewidth=3, alpha=0.45, solid_capstyle="butt")
        axes.plot(metrics[name]["value"], row, "o", color=BLUE, markersize=5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)


def _folds(validation: dict[str, Any]) -> Any:
    metrics = (validation.get("cross_validation") or {}).get("metrics") or {}
    return {name: entry["folds"] for name, entry in sorted(metrics.items()) if entry.get("folds")}


def _draw_folds(axes: Any, folds: Any) -> None:
    names = list(folds)[::-1]
    for row, name in enumerate(names):
        axes.plot(folds[name], [row] * len(folds[name]), "o", color=BLUE, alpha=0.5, markersize=5)
        axes.plot(float(np.mean(folds[name])), row, "|", color="#222222", markersize=14)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)


def _draw_roc(axes: Any, data: Any) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    axes.plot(data["false_positive_rate"], data["true_positive_rate"], color=BLUE)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.02))


def _draw_precision_recall(axes: Any, data: Any) -> None:
    axes.plot(data["recall"], data["precision"], color=BLUE)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))


def _draw_calibration(axes: Any, data: Any) -> None:
    top = max([*data["predicted"], *data["observed"]]) * 1.08
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--")
    axes.plot(data["predicted"], data["observed"], "o-", color=BLUE, markersize=4)
    axes.set(xlabel="predicted probability", ylabel="observed frequency", xlim=(0, top), ylim=(0, top))


def _draw_confusion(axes: Any, data: Any) -> None:
    matrix = np.array(data["matrix"])
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.grid(False)
    # Drawn as cells: an image would be embedded as PNG, whose bytes depend on the zlib in use.
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    size = len(matrix)
    if size <= 8:
        for row in range(size):
            for column in range(size):
                shade = "white" if shares[row, column] > 0.55 else "#222222"
                text = f"{matrix[row, column]:,}"
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=shade)
    ticks = [index + 0.5 for index in range(size)]
    names = [_short(name) for name in data["classes"]]
    turned = size > 8 or sum(map(len, names)) > 40
    axes.set_xticks(ticks, names, rotation=90 if turned else 0)
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="actual")


def _draw_predicted(axes: Any, data: Any) -> None:
    both = [*data["predicted"], *data["actual"]]
    axes.plot([min(both), max(both)], [min(both), max(both)], color=GREY, linewidth=1, linestyle="--")
    axes.plot(data["predicted"], data["actual"], "o", color=BLUE, alpha=0.35, markersize=3)
    axes.set(xlabel="predicted", ylabel="actual")


def _draw_residuals(axes: Any, data: Any) -> None:
    axes.stairs(data["counts"], data["edges"], fill=True, color=BLUE, alpha=0.7)
    axes.set(xlabel="actual minus predicted", ylabel="rows")


def _draw_importance(axes: Any, data: Any) -> None:
    shown = strongest({"importance": data})[:15][::-1]
    means = [value["mean"] for _, value in shown]
    axes.barh(range(len(shown)), means, xerr=[value["std"] for _, value in shown], color=BLUE, alpha=0.75, ecolor=GREY)
    axes.set_yticks(range(len(shown)), [_short(name) for name, _ in shown])
    axes.set_xlabel(f"drop in {data['metric']} when shuffled (bars: ± one standard deviation)")
    axes.grid(axis="y", visible=False)


def _segment_values(segments: Any, validation: dict[str, Any]) -> Any:
    """The headline metric of the weakest twenty segments, the weakest first."""
    metric = headline(validation["metrics"])
    names = [] if metric is None else ranked(segments, metric)[:20]
    if metric is None or not names:
        return None
    values = {name: segments[name]["metrics"][metric] for name in names}
    return {"metric": metric, "values": values, "overall": value_of(validation["metrics"], metric)}


def _draw_segments(axes: Any, data: Any) -> None:
    names = list(data["values"])[::-1]  # the weakest on top
    axes.plot([data["values"][name] for name in names], range(len(names)), "o", color=BLUE, markersize=5)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    if data["overall"] is not None:
        axes.axvline(data["overall"], color=GREY, linewidth=1, linestyle="--")
        axes.set_xlabel(f"{data['metric']} (dashed: all rows)")
