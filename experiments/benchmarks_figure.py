"""The table and the figure of ``experiments benchmarks``."""

import math

from matplotlib.figure import Figure

from ttfs.stages.figures import RELU_COLOUR, SNN_COLOUR, WIDTH, label_ends
from ttfs.stages.results import grouped, rows_with
from ttfs.stages.tables import Table

LOOKS = {
    "closed form": {"color": RELU_COLOUR, "marker": "o", "ls": "--"},
    "event by event": {"color": SNN_COLOUR, "marker": "s", "ls": "-"},
}
SIZES = {
    "width": "Neurons per layer",
    "depth": "Layers",
    "batch": "Images",
}  # what is varied, and its axis's label
STEPS = 64  # of Brian2, per window
SPARSE = 100  # spikes per image
STANDARD = {"width": 400, "depth": 4, "batch": 500}  # what is not varied


def seconds(value: float) -> str:
    """Return a time with three digits, in a unit that suits it."""
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def megabytes(value: float | None) -> str:
    """Return an amount of memory."""
    return "not measured" if value is None else f"{value:.0f} MB"


def pace(row: dict, key: str = "ours") -> float:
    """Return images per second."""
    return row["images"] / row[key]


def table(rows: list[dict]) -> Table:
    """Return a line per measurement, beside what it is set beside; how they grow, as a figure."""
    lines = []
    for row in rows_with(rows, what="training"):
        beside = f"DataLoader, ToTensor and Adam, {row['workers']} workers"
        share = f"{100 * row['share_of_product_rate']:.0f} % of the product rate"
        line = [f"an epoch, {row['depth']} layers", seconds(row["ours"]), beside]
        lines.append([*line, seconds(row["usual"]), ratio(row["usual"], row["ours"]), share])
    for row in rows_with(rows, what="closed form"):
        line = [f"closed form, {row['network']}", seconds(row["ours"]), "ReLU in PyTorch"]
        memory = [megabytes(row[f"{key}_mb"]) for key in ("our", "batches", "relu", "kept")]
        words = "{}; in batches {}; ReLU {}, {} with all activations".format(*memory)
        lines.append([*line, seconds(row["relu"]), ratio(row["relu"], row["ours"]), words])
    for row in rows_with(rows, what="events"):
        line = [f"event by event, {row['network']}", f"{pace(row):,.0f} per s", "closed form"]
        sparse = f"{row['spikes'] / row['images'] / row['neurons']:.3f} spikes per neuron"
        there = f"{pace(row, 'closed'):,.0f} per s"
        lines.append([*line, there, ratio(row["closed"], row["ours"]), sparse])
    for row in rows_with(rows, what="Brian2"):
        line = [
            f"one image, {row['network']}",
            seconds(row["ours"]),
            f"Brian2, {STEPS} steps per window",
        ]
        lines.append([*line, seconds(row["brian2"]), ratio(row["brian2"], row["ours"]), ""])
    for row in rows_with(rows, what="start"):
        line = [f"`{row['command']}`", seconds(row["ours"]), "import torch", seconds(row["torch"])]
        lines.append([*line, "", f"{row['ours'] - row['torch']:+.2f} s"])
    header = ("what", "time or images", "beside", "time or images", "times as fast", "besides")
    caption = f"medians, on {rows[0]['threads']} threads ({rows[0]['device']}); memory, on one"
    return Table(header, lines, 6, caption)


def ratio(theirs: float, ours: float) -> str:
    """Return how many times as fast ours is."""
    return f"{theirs / ours:.2g}" if theirs < ours else f"{theirs / ours:.1f}"


def draw(rows: list[dict]) -> Figure:
    """Draw images per second against spikes, and how time and memory grow with each size."""
    figure = Figure(figsize=(WIDTH, 6.4))
    mosaic = [["pace"] * 3, [*SIZES], [f"{name}, memory" for name in SIZES]]
    panels = figure.subplot_mosaic(mosaic, height_ratios=(1.6, 1, 1))
    for varied, label in SIZES.items():
        above, below = panels[varied], panels[f"{varied}, memory"]
        above.sharey(panels["width"])
        below.sharey(panels["width, memory"])
        draw_growth(above, below, grouped(rows_with(rows, what="growth", varied=varied), "engine"))
        others = [f"{name} {value}" for name, value in STANDARD.items() if name != varied]
        above.set_title(", ".join(others))
        below.set_xlabel(label)
    panels["width"].set_ylabel("Time (s)")
    panels["width, memory"].set_ylabel("Memory (MB)")
    panels["width, memory"].set_ylim(bottom=0.1)
    panels["pace"].legend(*panels["width"].get_legend_handles_labels(), loc="upper right")
    draw_pace(panels["pace"], rows_with(rows, what="events"))
    return figure


def draw_growth(above, below, engines: dict[str, list[dict]]) -> None:
    """Draw the time above, and the memory below, of each engine against the size."""
    for engine, rows in engines.items():
        look = LOOKS[engine] | {"lw": 0.8, "ms": 3}
        values = [row["value"] for row in rows]
        above.plot(values, [row["ours"] for row in rows], label=engine, **look)
        memory = [row["mb"] or math.nan for row in rows]
        below.plot(values, memory, **look)
    for axes in (above, below):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(values, values)
        axes.set_xticks([], minor=True)


def draw_pace(axes, rows: list[dict]) -> None:
    """Draw images per second against spikes per image, both engines, a column per network."""
    sparse, others = [], []  # names beside names that are far away would push each other
    for row in rows:
        spikes = row["spikes"] / row["images"]
        for key, engine in (("closed", "closed form"), ("ours", "event by event")):
            axes.plot([spikes], [pace(row, key)], ms=4, **LOOKS[engine] | {"ls": ""})
        (sparse if spikes < SPARSE else others).append((spikes, pace(row), row["network"]))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("Spikes per image, of hidden neurons")
    axes.set_ylabel("Images per second")
    for ends in (sparse, others):
        label_ends(axes, ends)
