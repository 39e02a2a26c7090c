"""One style and one writer for every figure. What a figure shows is drawn by its script."""

import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure
from PIL import Image

from ttfs.writing import written_atomically

STYLE = ["default", "ttfs.stages.paper"]  # whatever a matplotlibrc says
RELU_COLOUR, SNN_COLOUR, INPUT_COLOUR = "#D55E00", "#0072B2", "#444444"  # Okabe and Ito's, and grey
WIDTH = 7.2  # inches: two journal columns, 183 mm
FRAMES_PER_SECOND, STAY = 12.5, (2000, 4000)  # of a GIF; ms that its first and last frame stay
COLOURS, APART = 64, 6  # in the palette of a GIF, and by how much they differ at least
METADATA = {  # no dates or versions inside: the same results give the same bytes
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None},
    "eps": {"Creator": "ttfs"},
}


def depth_style(depth: int, deepest: int = 8) -> dict:
    """Return the colour and marker of a depth: one ramp from dark to pale, told apart in grey."""
    colour = matplotlib.colormaps["cividis"](0.65 * min(1.0, depth / deepest))
    return {"color": colour, "marker": "Dpo<s>^v"[depth % 8]}


def note(axes, text: str, xy: tuple, offset: tuple = (0, 0), fontsize: float = 6, **options):
    """Write a text ``offset`` points from a place in the data (or where ``xycoords`` says)."""
    axes.annotate(text, xy, offset, textcoords="offset points", fontsize=fontsize, **options)


def corner_note(axes, text: str, x: float = 0.03, y: float = 0.97, **options) -> None:
    """Write a text at a place inside the axes, by default the upper left corner."""
    axes.text(x, y, text, **{"va": "top", "fontsize": 6, "transform": axes.transAxes} | options)


def label_ends(axes, ends: list[tuple[float, float, str]], fontsize: float = 6) -> None:
    """Write curves' names beside their last points, (x, y, name), apart where they would overlap.

    The axes' limits and scales must be final.
    """
    points_a_pixel = 72 / axes.figure.dpi
    axes.figure.draw_without_rendering()  # settles the layout
    lowest = -math.inf
    for x, y, name in sorted(ends, key=lambda end: end[1]):
        half = 0.6 * fontsize * (1 + name.count("\n"))
        height = axes.transData.transform((x, y))[1] * points_a_pixel
        middle = max(height, lowest + half)
        lowest = middle + half
        note(axes, name, (x, y), (5, middle - height), fontsize, va="center")


def loss_axis(axis, linear_to: float, smallest: float = 0.0, largest: float = 150.0) -> None:
    """Give an axis of points lost its scale: linear up to ``linear_to``, logarithmic beyond."""
    name, low = axis.axis_name, min(-0.3 * linear_to, 1.2 * smallest)
    getattr(axis.axes, f"set_{name}scale")("symlog", linthresh=linear_to)
    ticks = [t for t in (-10, -1, -0.1, 0, 0.1, 1, 10, 90) if t == 0 or abs(t) >= linear_to]
    ticks = [tick for tick in ticks if low <= tick <= largest]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)
    getattr(axis.axes, f"set_{name}lim")(low, largest)


def plain_ticks(axis) -> None:
    """Write the numbers of a logarithmic axis as they are."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def legend_above(figure: Figure, axes, columns: int) -> None:
    """Write the names of a panel's curves above all panels, where they cover nothing."""
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=columns)


def depth_panels(depths: Iterable[int], height: float, lines: int = 1) -> tuple[Figure, dict]:
    """Return a figure with a panel per depth, side by side and with the same axes, by depth.

    With several ``lines`` of panels, each depth has a list of them.
    """
    depths = sorted(depths)
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(lines, len(depths), sharex=True, sharey=True, squeeze=False)
    for axes, depth in zip(grid[0], depths, strict=True):
        axes.set_title(f"{depth} layers")
    columns = grid.T if lines > 1 else grid[0]
    return figure, dict(zip(depths, columns, strict=True))


def save_figures(draw: Callable[..., Figure], rows, path: Path, formats: list[str]) -> list[Path]:
    """Draw once in the project's style, and write ``path`` in each format."""
    paths = []
    with matplotlib.style.context(STYLE):
        figure = draw(rows)
        for suffix in formats:
            contents = io.BytesIO()  # not a file, whose name would be the title of an EPS
            figure.savefig(contents, format=suffix, metadata=METADATA[suffix])
            contents = re.sub(rb"%%CreationDate: .*\n", b"", contents.getvalue(), count=1)
            paths.append(path.with_suffix(f".{suffix}"))
            with written_atomically(paths[-1]) as temporary:
                temporary.write_bytes(contents)
    return paths


class _GifWriter(PillowWriter):
    """A GIF that loops; its first and its last frame stay for a while."""

    def finish(self) -> None:
        """Write the file."""
        palette = _palette(self._frames[:: max(1, len(self._frames) // 8)] + self._frames[-1:])
        frames = [frame.quantize(palette=palette, dither=0) for frame in self._frames]
        durations = [round(1000 / self.fps)] * len(frames)
        durations[0], durations[-1] = STAY
        options = {"save_all": True, "append_images": frames[1:], "loop": 0}
        frames[0].save(self.outfile, duration=durations, **options)


def _palette(frames: list[Image.Image]) -> Image.Image:
    """Return an image whose palette has the colours that frames use most, no two nearly the same.

    With one palette for all frames flat areas keep their colour, and the file is small.
    """
    used = Counter()
    for frame in frames:
        used.update({colour: n for n, colour in frame.getcolors(frame.width * frame.height)})
    chosen = []
    for colour in sorted(used, key=lambda colour: (-used[colour], colour)):
        apart = np.abs(np.reshape(chosen, (-1, 3)) - colour).max(axis=1, initial=0)
        if (apart >= APART).all() and len(chosen) < COLOURS:
            chosen.append(colour)
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in chosen for value in colour])
    return palette


def save_animation(animate: Callable[..., FuncAnimation], rows, path: Path) -> Path:
    """Draw every frame in the project's style, and write them as ``path``.gif, or nothing."""
    path = path.with_suffix(".gif")
    with matplotlib.style.context(STYLE), written_atomically(path) as temporary:
        animate(rows).save(temporary, _GifWriter(FRAMES_PER_SECOND), dpi="figure")
    return path
