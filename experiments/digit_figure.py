"""The figure of the travelling digit: one scene that can show any moment.

Time runs to the right, the network downwards. In each layer's lane, the layer first listens to the
one above; then its window opens and it fires, while the one below listens. Amber is what happens
now: the moment, the open window with its frame, and spikes that are new.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import Rectangle

from ttfs.stages.figures import INPUT_COLOUR, SNN_COLOUR, WIDTH

NOW, OPEN, HEARS = "#E69F00", "#FFE9B8", "#FFF7E3"
AHEAD, CLOSED, QUIET, BAR = "#F8F8F8", "#EDEDED", "#8C8C8C", "#B8B8B8"
FIXED = PlaceHolderLayoutEngine(True, True)  # with "none", a second savefig would choose a layout
DPI = 112.5  # 810 pixels wide
TEXT, SMALL = 8.2, 7.4  # points: 13 and 12 pixels
BOLD = {"fontsize": TEXT, "fontweight": "bold"}
LEFT, RIGHT = 1.28, 5.66  # inches: where time begins and ends
TOP, FOOT, GAP = 0.72, 0.42, 0.06  # inches: title, time axis, between lanes
PIXELS, LANE = 0.66, 1.0  # inches: heights of the lanes
FLASH = 0.1  # for how long a spike is new, in input windows
LOWEST = -0.8  # potential that is drawn, in parts of the threshold
RASTER = (1.2, 2.0)  # where a layer's spikes are drawn, above its threshold at 1
DARK = 0.28  # how bright a pixel is before it fires


class Scene:
    """All that is drawn; ``show(t)`` makes it what it is at the time t."""

    def __init__(self, rows: list[dict]) -> None:
        pixels, *layers, output = rows
        end = output["t_max"]
        self.moments, self.captions = moments(end, output["frames"]), captions(rows)
        lanes = PIXELS + len(layers) * (GAP + LANE)
        self.height = TOP + lanes + FOOT
        self.figure = Figure(figsize=(WIDTH, self.height), dpi=DPI, layout=FIXED)
        title = f"One digit, read in {end:g} input windows by neurons that fire at most once"
        self._write(0.2, title, fontsize=10.5, fontweight="bold")
        self.caption = self._write(0.47, "", fontsize=TEXT + 0.3)
        self.parts = [Picture(self._axes(0.1, TOP, 1.0, 1.0), pixels)]
        self.parts.append(Pixels(self._lane(TOP, PIXELS, end), pixels))
        for n, row in enumerate(layers):
            y = TOP + PIXELS + GAP + n * (GAP + LANE)
            self.parts.append(Lane(self._lane(y, LANE, end), row))
        self.parts.append(Clock(self._lane(TOP, lanes, end), end))
        place = (RIGHT + 0.3, TOP + 0.3, WIDTH - RIGHT - 0.4, lanes - 0.3)
        self.parts.append(Bars(self._axes(*place), output))

    def show(self, t: float) -> None:
        """Show the moment t."""
        self.caption.set_text(next(text for until, text in self.captions if t < until))
        for part in self.parts:
            part.show(t)

    def _axes(self, x: float, y: float, width: float, height: float):
        """Return axes at a place in inches from the upper left corner."""
        bottom = (self.height - y - height) / self.height
        axes = self.figure.add_axes((x / WIDTH, bottom, width / WIDTH, height / self.height))
        axes.set_axis_off()
        return axes

    def _lane(self, y: float, height: float, end: float):
        """Return axes across all of the time."""
        axes = self._axes(LEFT, y, RIGHT - LEFT, height)
        axes.set_xlim(0, end)
        return axes

    def _write(self, y: float, text: str, **options):
        """Write a line so many inches below the upper edge."""
        return self.figure.text(0.1 / WIDTH, 1 - y / self.height, text, va="center", **options)


def moments(end: float, frames: int) -> list[float]:
    """Return the times to show: from 0 to the read-out, and on until no spike is new."""
    last = round(end * frames) + math.ceil(FLASH * frames)
    return [n / frames for n in range(last + 1)]


def captions(rows: list[dict]) -> list[tuple[float, str]]:
    """Return what is said until when."""
    pixels, *layers, output = rows
    bright = "Bright pixels fire early, dim ones late, black ones never."
    texts = [(pixels["t_max"], f"{bright} Each spike bends layer 1's potentials.")]
    for row in layers:
        rule = "the higher a potential stands, the sooner it meets the threshold."
        texts.append((row["t_max"], f"Layer {row['layer']}'s window is open: {rule}"))
    final = output["potentials"][-1][1:]
    answer = f"The answer is {final.index(max(final))}."
    return [*texts, (math.inf, f"Time is up: the largest output potential wins. {answer}")]


def block(axes, start: float, end: float) -> Rectangle:
    """Return a rectangle from start to end, as high as the axes."""
    whole_height = axes.get_xaxis_transform()
    return axes.add_patch(Rectangle((start, 0), end - start, 1, lw=1, transform=whole_height))


class Picture:
    """The picture, whose pixels light up as they fire."""

    def __init__(self, axes, row: dict) -> None:
        side = math.isqrt(row["size"])
        self.fires = np.full((side, side), np.inf)
        self.fires.flat[row["neurons"]] = row["times"]
        self.brightness = np.where(np.isfinite(self.fires), 1 - self.fires, 0)
        self.image = axes.imshow(0 * self.brightness, cmap="gray", vmin=0, vmax=1)

    def show(self, t: float) -> None:
        """Light up the pixels that have fired."""
        self.image.set_data(self.brightness * np.where(self.fires <= t, 1, DARK))


class Raster:
    """A layer's window, and in it a dot for each spike, amber and large while it is new."""

    def __init__(self, axes, row: dict, bottom: float, top: float, colour) -> None:
        self.t_min, self.t_max, self.size = row["t_min"], row["t_max"], row["size"]
        self.times = np.array(row["times"])
        # The first neuron is on top, as the first pixel is.
        self.heights = top - (top - bottom) * (np.array(row["neurons"]) + 0.5) / self.size
        self.window = block(axes, self.t_min, self.t_max)
        (self.old,) = axes.plot([], [], ".", color=colour, ms=2.8, mew=0)
        (self.new,) = axes.plot([], [], "o", color=NOW, ms=4.5, mew=0)

    def show(self, t: float) -> None:
        """Show the spikes up to t, and whether the window is open."""
        new = (self.times <= t) & (self.times > t - FLASH)
        old = self.times <= t - FLASH
        self.new.set_data(self.times[new], self.heights[new])
        self.old.set_data(self.times[old], self.heights[old])
        is_open = self.t_min <= t < self.t_max
        colour = OPEN if is_open else AHEAD if t < self.t_min else CLOSED
        self.window.set(facecolor=colour, edgecolor=NOW if is_open else colour)

    def count(self, t: float) -> str:
        """Return how many have fired by t."""
        return f"{int((self.times <= t).sum())} of {self.size} fired"


class Pixels:
    """The pixels' spikes."""

    def __init__(self, axes, row: dict) -> None:
        axes.set_ylim(0, 1)
        self.raster = Raster(axes, row, 0, 1, INPUT_COLOUR)
        x = row["t_max"] + 0.05
        axes.text(x, 0.75, "pixels", va="center", **BOLD)
        self.state = axes.text(x, 0.46, "", va="center", fontsize=SMALL)

    def show(self, t: float) -> None:
        """Show the spikes up to t."""
        self.raster.show(t)
        self.state.set_text(self.raster.count(t))


class Lane:
    """A hidden layer: a few potentials up to their threshold, and above it everybody's spikes."""

    def __init__(self, axes, row: dict) -> None:
        self.t_start, self.t_min, t_max = row["t_start"], row["t_min"], row["t_max"]
        self.listens = f"listens to layer {row['layer'] - 1}"
        axes.set_ylim(LOWEST, RASTER[1] + 0.05)
        self.hears = block(axes, self.t_start, self.t_min)
        self.raster = Raster(axes, row, *RASTER, SNN_COLOUR)
        axes.plot((self.t_start, t_max), (0, 0), color="0.75", lw=0.6)
        axes.plot((self.t_min, t_max), (1, 1), "--", color="black", lw=0.7)
        heights = dict(zip(row["neurons"], self.raster.heights, strict=True))
        self.curves = [
            Curve(axes, trace, t_max, heights.get(trace["neuron"])) for trace in row["traces"]
        ]
        axes.text(self.t_start + 0.05, 1.98, f"layer {row['layer']}", va="top", **BOLD)
        self.state = axes.text(self.t_start + 0.05, 1.57, "", va="top", fontsize=SMALL)
        self.narrow = axes.get_xlim()[1] > 5
        if row["layer"] == 1:
            self.listens = "listens to pixels"
            if t_max < axes.get_xlim()[1]:
                explain(axes, row)

    def show(self, t: float) -> None:
        """Show spikes and potentials up to t, and what the layer is doing."""
        for part in (self.raster, *self.curves):
            part.show(t)
        hears = self.t_start <= t < self.t_min
        self.hears.set_color(HEARS if hears else "white")
        state = self.listens if hears else "waits" if t < self.t_start else self.raster.count(t)
        head, _, last = state.rpartition(" ")
        self.state.set_text(f"{head}\n{last}" if self.narrow and head else state)


def explain(axes, row: dict) -> None:
    """Write beside a layer's window what is in it."""
    x, beside = row["t_max"] + 0.05, {"fontsize": SMALL, "va": "center"}
    axes.text(x, 1.6, f"spikes of all {row['size']} neurons", **beside)
    axes.text(x, 1.0, "threshold", **beside)
    axes.text(x, 0.35, f"potentials of {len(row['traces'])} of them", **beside)
    axes.text(x, -0.05, "(grey: too low, silent)", color="0.35", **beside)


class Curve:
    """A neuron's potential, in parts of its threshold, until it fires or its window closes.

    From the threshold its spike jumps to ``height``, that of its dot.
    """

    def __init__(self, axes, trace: dict, t_max: float, height: float | None) -> None:
        self.times, potential = np.array(trace["corners"]).T
        self.potential = potential / trace["threshold"]
        self.fires = trace["spike"] is not None
        self.end = trace["spike"] if self.fires else t_max
        colour, width = (SNN_COLOUR, 1.2) if self.fires else (QUIET, 0.9)
        (self.line,) = axes.plot([], [], color=colour, lw=width)
        (self.head,) = axes.plot([], [], "o", color=colour, ms=4, mew=0)
        (self.jump,) = axes.plot([self.end] * 2, (1, height or 1), color=colour, lw=0.6)

    def show(self, t: float) -> None:
        """Show the potential up to t, and its present value."""
        until, begun, over = min(t, self.end), t >= self.times[0], t >= self.end
        past = self.times < until
        times = np.append(self.times[past], until)
        potential = np.append(self.potential[past], np.interp(until, self.times, self.potential))
        self.line.set_data((times, potential) if begun else ([], []))
        marked = begun and (self.fires or not over)
        self.head.set_data((times[-1:], potential[-1:]) if marked else ([], []))
        self.jump.set_visible(self.fires and over)


class Clock:
    """The line that moves with the time, and the axis below."""

    def __init__(self, axes, end: float) -> None:
        self.end = end
        axes.set_ylim(0, 1)
        axes.plot((0, end), (0, 0), color="black", lw=0.8, clip_on=False)
        (self.line,) = axes.plot([], [], color=NOW, lw=1.1)
        below = {"va": "top", "ha": "center", "textcoords": "offset points"}
        for tick in range(round(end) + 1):
            axes.annotate(f"{tick}", (tick, 0), (0, -3), fontsize=SMALL, **below)
        self.text = axes.annotate("", (end / 2, 0), (0, -15), fontsize=TEXT, **below)

    def show(self, t: float) -> None:
        """Move to t, or to the end."""
        t = min(t, self.end)
        self.line.set_data((t, t), (0, 1))
        self.text.set_text(f"time: {t:.2f} input windows")


class Bars:
    """The output potentials: the largest is dark, and its class stands out when time is up."""

    def __init__(self, axes, row: dict) -> None:
        self.times, *potentials = np.array(row["potentials"]).T
        self.potentials, self.end = np.array(potentials), row["t_max"]
        self.listen = f"listen to layer {row['layer'] - 1}"
        classes, limit = range(len(potentials)), 1.05 * np.abs(self.potentials).max()
        axes.set_xlim(-limit, limit)
        axes.set_ylim(len(potentials) - 0.4, -0.6)
        self.bars = axes.barh(classes, np.zeros(len(potentials)), 0.7)
        axes.axvline(0, color="black", lw=0.6)
        beside = {"ha": "center", "va": "center"}
        self.names = [axes.text(-1.15 * limit, k, f"{k}", **beside) for k in classes]
        above = {"xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate("output potentials", (0, 1), (-18, 14), **above, **BOLD)
        self.state = axes.annotate("", (0, 1), (-18, 4), **above, fontsize=SMALL)

    def show(self, t: float) -> None:
        """Show the potentials at t."""
        begun, over = t >= self.times[0], t >= self.end
        now = [np.interp(t, self.times, curve) if begun else 0 for curve in self.potentials]
        for k, (bar, name) in enumerate(zip(self.bars, self.names, strict=True)):
            leads = begun and now[k] == max(now)
            bar.set(width=now[k], color=SNN_COLOUR if leads else BAR)
            weight, size = ("bold", 14) if leads and over else ("normal", TEXT)
            name.set(fontweight=weight, fontsize=size)
        self.state.set_text("the largest wins" if over else self.listen if begun else "wait")
