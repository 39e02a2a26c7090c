"""One style and one writer for every figure. What a figure shows is drawn by its script."""

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
