"""One style and one writer for every figure. What a figure shows is drawn by its script."""

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ttfs.storage import written_atomically

FORMATS = ("png", "pdf", "svg")
RELU_COLOUR, SNN_COLOUR, INPUT_COLOUR = "#D55E00", "#0072B2", "#444444"  # Okabe and Ito's, and grey
WIDTH = 7.2  # inches: two journal columns, 183 mm
# No dates or versions inside: the same results give the same bytes.
METADATA = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None},
}


def depth_colour(depth: int, deepest: int = 8) -> tuple:
    """Return the colour of a depth: one sequential ramp, dark for shallow, without its pale end."""
    return matplotlib.colormaps["cividis"](0.65 * min(1.0, depth / deepest))


def depth_marker(depth: int) -> str:
    """Return the marker of a depth, so that depths differ in grey too."""
    return "Dpo<s>^v"[depth % 8]


def label_ends(axes, ends: list[tuple[float, float, str]], fontsize: float = 6) -> None:
    """Write curves' names beside their last points, (x, y, name), apart where they would overlap.

    The axes' limits and scales must be final.
    """
    points_a_pixel = 72 / axes.figure.dpi
    axes.figure.draw_without_rendering()  # settles the layout
    placed, lowest = [], -math.inf
    for x, y, name in sorted(ends, key=lambda end: end[1]):
        half = 0.6 * fontsize * (1 + name.count("\n"))
        height = axes.transData.transform((x, y))[1] * points_a_pixel
        middle = max(height, lowest + half)
        lowest = middle + half
        placed.append((x, y, name, middle - height))
    for x, y, name, shift in placed:
        axes.annotate(name, (x, y), (5, shift), textcoords="offset points", va="center",
                      fontsize=fontsize)  # fmt: skip


def save_figures(
    draw: Callable[..., Figure], data, folder: Path, name: str, formats: list[str]
) -> list[Path]:
    """Draw once in the project's style, and write ``folder/name`` in each format."""
    paths = []
    with plt.style.context("ttfs.paper"):
        figure = draw(data)
        for suffix in formats:
            paths.append(Path(folder) / f"{name}.{suffix}")
            with written_atomically(paths[-1]) as temporary:
                figure.savefig(temporary, format=suffix, metadata=METADATA[suffix])
        plt.close(figure)
    return paths
