"""The figure of the suspected causes: the reported loss, every cause, windows and clocks."""

import numpy as np
from matplotlib.figure import Figure

from ttfs.metrics import points_lost
from ttfs.stages.figures import (
    RELU_COLOUR,
    SNN_COLOUR,
    WIDTH,
    depth_style,
    label_ends,
    loss_axis,
    note,
)
from ttfs.stages.results import grouped, rows_with
from ttfs.stages.tables import two_places

Losses = dict[str, dict[str, dict[int, list[float]]]]  # by cause, remedy ("" for none) and depth


def draw(rows: list[dict], lost: Losses) -> Figure:
    """Draw the reported loss and its makers; every cause; window growth; and clocks."""
    figure = Figure(figsize=(WIDTH, 6.2))
    panels = figure.subplot_mosaic("ab\ncb\ndb", width_ratios=(1, 1.05))
    ends = draw_recipe(panels["a"], lost)
    draw_causes(panels["b"], lost)
    draw_window_growth(panels["c"], rows)
    draw_clocks(panels["d"], rows)
    titles = {
        "a": "The write-up's loss, and its recipe",
        "b": "Each cause alone, and removed",
        "c": "Alpha's safe windows grow, B1's do not",
        "d": "A coarse clock, and its remedies",
    }
    for letter, axes in panels.items():
        axes.set_title(f"{letter}   {titles[letter]}", loc="left", fontweight="bold")
    label_ends(panels["a"], ends)  # last: it needs the layout
    return figure


def draw_recipe(axes, lost: Losses) -> list[tuple[float, float, str]]:
    """Draw points lost against depth, as reported and by the recipe; return the curves' ends."""
    reported, bias, _, both = list(lost)[:4]
    curves = [
        (lost[reported][""], "as reported", {"color": "0.3", "marker": "x", "ls": "--"}),
        (
            lost[both][""],
            "recipe, networks of\nstandardised pixels,\ntrained for longer",
            {"color": RELU_COLOUR, "marker": "s"},
        ),
        (lost[bias][""], "recipe", {"color": RELU_COLOUR, "marker": "o", "mfc": "white"}),
        (lost[bias]["bias rescaled"], "bias rescaled", {"color": SNN_COLOUR, "marker": "o"}),
    ]
    ends = []
    for by_depth, name, style in curves:
        if not by_depth:
            continue
        means = [np.mean(values) for values in by_depth.values()]
        axes.plot(list(by_depth), means, **style)
        for depth, values in by_depth.items():
            axes.plot((depth, depth), (min(values), max(values)), color=style["color"], lw=0.8)
        ends.append((max(by_depth), means[-1], name))
    depths = list(lost[bias][""])
    loss_axis(axes.yaxis, 1, -1)
    axes.set_xlabel("Depth (weight layers)")
    axes.set_ylabel("Accuracy lost (points)\nmean and range of seeds")
    axes.set_xticks(depths)
    axes.set_xlim(min(depths) - 0.5, 1.75 * max(depths))
    return ends


def draw_causes(axes, lost: Losses) -> None:
    """Draw a line per cause at the greatest depth: filled with it, rings with its remedies."""
    deepest = max(
        depth for remedies in lost.values() for found in remedies.values() for depth in found
    )
    found = {}
    for cause, remedies in lost.items():
        values = [
            np.mean(by_depth[deepest]) for by_depth in remedies.values() if deepest in by_depth
        ]
        if len(values) > 1:
            found[cause] = values
    for place, (cause, values) in enumerate(reversed(found.items())):
        axes.plot((min(values), max(values)), (place, place), color="0.7", lw=0.8, zorder=0)
        axes.plot(values[1:], [place] * len(values[1:]), "o", color=SNN_COLOUR, mfc="white", ms=4)
        axes.plot(values[0], place, "o", color=RELU_COLOUR, ms=4)
        note(axes, two_places(values[0]), (values[0], place), (6, 0), va="center")
        beside = {
            "xycoords": ("axes fraction", "data"),
            "bbox": {"fc": "white", "lw": 0, "pad": 0.5},
        }
        note(axes, cause, (0, place), (3, 6), **beside)
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(found) - 0.2)
    loss_axis(axes.xaxis, 1, -0.9, largest=600)
    axes.axvline(0, color="0.8", lw=0.6, zorder=0)
    axes.set_xlabel(
        f"Accuracy lost at depth {deepest} (points, linear to 1)\nfilled: cause; rings: remedies"
    )


def draw_window_growth(axes, rows: list[dict]) -> None:
    """Draw window length against layer: alpha in safe windows, and B1; untrained and trained."""
    above, below = {"ha": "right", "va": "bottom"}, {"ha": "left", "va": "top"}
    for variant, name, colour, style, side in (
        ("alpha, window", "alpha, safe windows", RELU_COLOUR, "-", above),
        ("B1, window", "B1, calibrated", SNN_COLOUR, "--", below),
    ):
        found = rows_with(rows, cause="untrained", variant=variant)
        lengths = max(found, key=lambda row: row["depth"])["windows"]
        axes.plot(np.arange(1, len(lengths) + 1), lengths, style, color=colour)
        middle = len(lengths) // 2
        note(axes, name, (middle + 1, lengths[middle]), (-3, 3 if side is above else -3), **side)
    for row in rows_with(rows, cause="window growth", variant="window", dtype="float64"):
        layers = np.arange(1, len(row["windows"]) + 1)
        axes.plot(layers, row["windows"], ".", color=RELU_COLOUR, ms=3, mew=0)
        axes.plot(layers, row["b1_windows"], ".", color=SNN_COLOUR, ms=3, mew=0)
    # Where the spacing of a precision's numbers reaches a unit of time.
    for name, bits, x in (("float16", 11, 0.7), ("float32", 24, 1), ("float64", 53, 1)):
        axes.axhline(2.0**bits, color="0.6", lw=0.6, ls=":")
        place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        note(axes, f"1 ulp of {name} is a unit", (x, 2.0**bits), (0, 1), 5, **place)
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-9)
    axes.set_xlabel("Hidden layer (lines: untrained; dots: trained)")
    axes.set_ylabel("Window length, t_max - t_min")


def draw_clocks(axes, rows: list[dict]) -> None:
    """Draw points lost against the clock's bits, at each depth, and with both remedies."""
    variants = {
        "ticks": ("-", "threshold at ticks"),
        "half tick, 99 % windows": ("--", "both remedies"),
    }
    for variant, (line, name) in variants.items():
        found = rows_with(rows, cause="time resolution", variant=variant)
        for depth, own in grouped(found, "depth").items():
            lost = {
                b: np.mean(list(map(points_lost, part))) for b, part in grouped(own, "bits").items()
            }
            label = f"{depth} layers" if variant == "ticks" else None
            style = depth_style(depth)
            axes.plot(list(lost), list(lost.values()), line, ms=2.5, lw=0.8, label=label, **style)
        axes.plot([], [], line, color="black", lw=0.8, label=name)
    loss_axis(axes.yaxis, 1)
    axes.legend(fontsize=5, handlelength=2.5)
    axes.set_xlabel("Clock (bits: 2^bits ticks per window)")
    axes.set_ylabel("Accuracy lost (points)")
