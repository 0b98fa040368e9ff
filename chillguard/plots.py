"""Pictures of counts and curves, as PNG bytes.

No Chinese font is assumed: a name that is not ASCII is shown by its place, `#1` being the first.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any


def bars(counts: Mapping[str, int], title: str) -> bytes:
    """One bar per name, in the order given."""
    return stacked({name: {"rows": count} for name, count in counts.items()}, title)


def stacked(counts: Mapping[str, Mapping[str, int]], title: str) -> bytes:
    """One bar per name, stacked by part."""
    figure, axes = _figure(max(4.0, 0.28 * len(counts) + 1.5))
    parts = list(dict.fromkeys(part for row in counts.values() for part in row))
    names = _ascii([*counts])
    bottom = [0] * len(counts)
    for part in parts:
        heights = [row.get(part, 0) for row in counts.values()]
        axes.bar(names, heights, bottom=bottom, label=part)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    if len(parts) > 1:
        axes.legend(fontsize=7)
    axes.set_title(title, fontsize=9)
    axes.tick_params(axis="x", rotation=60 if len(counts) > 6 else 0, labelsize=7)
    axes.tick_params(axis="y", labelsize=7)
    return _png(figure)


def funnel(names: Sequence[str], kept: Sequence[int], dropped: Sequence[int]) -> bytes:
    """Horizontal bars of kept and dropped rows per stage, first stage on top."""
    figure, axes = _figure(7.0)
    axes.barh(names, kept, label="kept")
    axes.barh(names, dropped, left=kept, label="dropped")
    axes.invert_yaxis()
    axes.legend(fontsize=7)
    axes.tick_params(labelsize=7)
    axes.set_title("rows per stage", fontsize=9)
    return _png(figure)


def heat(
    cells: Mapping[tuple[str, str], float | None],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
) -> bytes:
    """A grid of values by (row, column), 0 to 1 or -1 to 1; where there is none it is grey."""
    figure, axes = _figure(0.2 * len(columns) + 3.0, 0.2 * len(rows) + 2.0)
    grid = [[cells.get((row, column)) for column in columns] for row in rows]
    values = [[float("nan") if value is None else value for value in line] for line in grid]
    signed = any(value is not None and value < 0 for value in cells.values())
    colours, lowest = ("RdBu_r", -1) if signed else ("Reds", 0)
    axes.set_facecolor("lightgrey")
    drawn = axes.imshow(values, cmap=colours, vmin=lowest, vmax=1)
    for axis, names in ((axes.xaxis, columns), (axes.yaxis, rows)):
        axis.set_ticks(range(len(names)), _ascii(names), fontsize=6)
    axes.tick_params(axis="x", rotation=90)
    axes.set_title(title, fontsize=9)
    figure.colorbar(drawn, shrink=0.6).ax.tick_params(labelsize=6)
    return _png(figure)


def _ascii(names: Sequence[str]) -> list[str]:
    return [name if name.isascii() else f"#{i}" for i, name in enumerate(names, 1)]


def curve(points: Sequence[tuple[float, float]], title: str) -> bytes:
    """One line through (place, value) points."""
    figure, axes = _figure(5.0)
    axes.plot([step for step, _ in points], [value for _, value in points])
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("logged step", fontsize=7)
    axes.tick_params(labelsize=7)
    return _png(figure)


def _figure(width: float, height: float = 2.6) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    return out.getvalue()
