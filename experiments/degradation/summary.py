"""What results/degradation_causes.json amounts to: its tables and its figure."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ttfs.command_line import text_table, two_places
from ttfs.figures import RELU_COLOUR, SNN_COLOUR, WIDTH, depth_colour, depth_marker, label_ends
from ttfs.metrics import points_lost
from ttfs.results import chosen

SUMMARY = [  # label (indented: a remedy of what stands above), and which rows it stands for
    ("Published", {"cause": "published"}),
    ("Recipe: bias not rescaled", {"cause": "recipe", "variant": "bias not rescaled"}),
    ("   bias rescaled", {"cause": "recipe", "variant": "bias rescaled"}),
    ("Trained on standardised pixels, ReLU tested on raw ones",
     {"cause": "preprocessing", "variant": "ReLU on raw pixels"}),
    ("Both: standardised training, and the recipe",
     {"cause": "preprocessing", "variant": "recipe on raw pixels"}),
    ("   standardisation folded into the first layer, B1",
     {"cause": "preprocessing", "variant": "folded into the first layer, B1"}),
    ("Spike time = threshold / current, literally, t_max = 15",
     {"cause": "formula", "variant": "literal"}),
    ("   B1, t_max = 15", {"cause": "short windows", "t_max": 15}),
    ("Windows too short: 15 everywhere", {"cause": "short windows", "t_max": 15}),
    ("Windows too short: 5 everywhere", {"cause": "short windows", "t_max": 5}),
    ("   1.5 x the largest activation", {"cause": "short windows", "variant": "calibrated"}),
    ("Alpha, free to fire before t_min, windows of 1 x largest",
     {"cause": "premature", "variant": "no guard"}),
    ("   with the guard", {"cause": "premature", "variant": "guard"}),
    ("   in safe windows", {"cause": "premature", "variant": "safe windows"}),
    ("   B1", {"cause": "premature", "variant": "B1"}),
    ("Alpha in safe windows, absolute time, float16",
     {"cause": "window growth", "variant": "absolute", "dtype": "float16"}),
    ("Alpha in safe windows, absolute time, float32",
     {"cause": "window growth", "variant": "absolute", "dtype": "float32"}),
    ("   window-relative time, float32",
     {"cause": "window growth", "variant": "window", "dtype": "float32"}),
    ("Precision: B1, absolute time, bfloat16",
     {"cause": "precision", "variant": "absolute", "dtype": "bfloat16"}),
    ("   float16", {"cause": "precision", "variant": "absolute", "dtype": "float16"}),
    ("   float32", {"cause": "precision", "variant": "absolute", "dtype": "float32"}),
    ("Clock of 8 ticks a window", {"cause": "time resolution", "variant": "ticks", "bits": 3}),
    ("   thresholds half a tick lower",
     {"cause": "time resolution", "variant": "half tick", "bits": 3}),
    ("   and windows of 99 % of the spikes",
     {"cause": "time resolution", "variant": "half tick, 99 % windows", "bits": 3}),
]  # fmt: skip


def loss_of(row: dict) -> float:
    """Return the percentage points lost, measured here or as published."""
    return row["points_lost"] if "points_lost" in row else points_lost(row)


def by_depth(rows: list[dict]) -> dict[int, list[float]]:
    """Return the points lost at each depth, one value a training seed."""
    table = {}
    for row in rows:
        table.setdefault(row["depth"], []).append(loss_of(row))
    return table


def summary(rows: list[dict]) -> list[tuple[str, dict[int, list[float]]]]:
    """Return, for each cause switched on and removed, the points lost at each depth."""
    return [(label, by_depth(chosen(rows, **keys))) for label, keys in SUMMARY]


def mean_and_range(values: list[float]) -> str:
    """Return the mean and, in brackets, the smallest and the largest of several values."""
    mean = two_places(sum(values) / len(values))
    low, high = two_places(min(values)), two_places(max(values))
    return f"{mean} ({low} to {high})" if len(values) > 1 else mean


def summary_table(rows: list[dict]) -> str:
    """Return the printed table of points lost, by cause and depth."""
    depths = sorted(by_depth(chosen(rows, cause="recipe")))
    lines = [
        (label.ljust(56), *(mean_and_range(found[d]) if d in found else "-" for d in depths))
        for label, found in summary(rows)
    ]
    return text_table(("points lost at depth".ljust(56), *map(str, depths)), lines)


def failing_depth(rows: list[dict], variant: str, dtype: str) -> int | None:
    """Return the first untrained depth at which over 1 % of labels differ from ReLU's, or None."""
    found = chosen(rows, cause="untrained", variant=variant, dtype=dtype)
    return min((r["depth"] for r in found if r["agreements"] < 0.99 * r["n_test"]), default=None)


def failing_depths(rows: list[dict]) -> str:
    """Return the printed table of failing depths, by neuron, time convention and precision."""
    untrained = chosen(rows, cause="untrained")
    dtypes = list(dict.fromkeys(row["dtype"] for row in untrained))
    deepest = max(row["depth"] for row in untrained)
    lines = []
    for variant in dict.fromkeys(row["variant"] for row in untrained):
        depths = [failing_depth(untrained, variant, dtype) for dtype in dtypes]
        lines.append([variant.ljust(20), *(str(d or f"none to {deepest}") for d in depths)])
    return text_table(("neuron, time".ljust(20), *dtypes), lines)


def draw_causes(results: dict) -> Figure:
    """Draw the published loss and its makers; every cause; window growth; and clocks."""
    rows = results["rows"]
    figure = plt.figure(figsize=(WIDTH, 6.6))
    panels = figure.subplot_mosaic("ab\ncb\ndb", width_ratios=(1, 1))
    ends = draw_published_loss(panels["a"], rows)
    draw_switches(panels["b"], rows)
    draw_window_growth(panels["c"], rows)
    draw_clocks(panels["d"], rows)
    titles = {
        "a": "The published loss, and its recipe", "b": "Each cause alone, and removed",
        "c": "Alpha's safe windows grow, B1's do not", "d": "A coarse clock, and its remedies",
    }  # fmt: skip
    for letter, axes in panels.items():
        axes.set_title(f"{letter}   {titles[letter]}", loc="left", fontweight="bold")
    label_ends(panels["a"], ends, fontsize=5.5)  # last: it needs the layout
    return figure


def switch_label(label: str) -> str:
    """Return a label with an arrow for the indentation that marks a remedy."""
    return label.replace("   ", "\N{RIGHTWARDS ARROW} ", 1) if label.startswith(" ") else label


def draw_published_loss(axes, rows: list[dict]) -> list[tuple[float, float, str]]:
    """Draw points lost against depth, as published and by its recipe; return the curves' ends."""
    table = dict(summary(rows))
    curves = [
        ("Published", "published", "0.3", "x", "--", "0.3"),
        ("Both: standardised training, and the recipe", "recipe, after training\n"
         "on standardised pixels", RELU_COLOUR, "s", "-", RELU_COLOUR),
        ("Recipe: bias not rescaled", "recipe: bias\nnot rescaled", RELU_COLOUR, "o", "-",
         "white"),
        ("   bias rescaled", "bias rescaled", SNN_COLOUR, "o", "-", SNN_COLOUR),
    ]  # fmt: skip
    ends = []
    for label, name, colour, marker, style, face in curves:
        depths = sorted(table[label])
        if not depths:
            continue
        values = [np.array(table[label][depth]) for depth in depths]
        means = [value.mean() for value in values]
        axes.plot(depths, means, style, marker=marker, color=colour, mfc=face)
        axes.vlines(depths, [v.min() for v in values], [v.max() for v in values], colour, lw=0.8)
        ends.append((depths[-1], means[-1], name))
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks((-1, 0, 1, 10, 50), ("-1", "0", "1", "10", "50"))
    axes.set_xlabel("Depth (weight layers)")
    axes.set_ylabel("Accuracy lost (points, linear to 1)\nmean and range of training seeds")
    depths = sorted(table["Recipe: bias not rescaled"])
    axes.set_xticks(depths)
    axes.set_xlim(depths[0] - 0.5, depths[-1] * 1.7)
    return ends


def draw_switches(axes, rows: list[dict]) -> None:
    """Draw each line of the summary at the greatest depth: causes filled, remedies open."""
    table = [(label, lost) for label, lost in summary(rows) if lost]
    deepest = max(depth for _, lost in table for depth in lost)
    table = [(label, lost[deepest]) for label, lost in table if deepest in lost][::-1]
    for place, (label, values) in enumerate(table):
        remedy, value = label.startswith(" "), float(np.mean(values))
        colour = SNN_COLOUR if remedy else RELU_COLOUR
        axes.plot((0, value), (place, place), color=colour, lw=0.8)
        axes.plot(value, place, "o", color=colour, mfc="white" if remedy else colour, ms=3.5)
        axes.annotate(two_places(value), (max(value, 0), place), (5, 0), textcoords="offset points",
                      va="center", fontsize=5)  # fmt: skip
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(-0.6, 500)
    axes.set_xticks((0, 1, 10, 90), ("0", "1", "10", "90"))
    axes.set_yticks(range(len(table)), [switch_label(label) for label, _ in table])
    axes.tick_params(axis="y", length=0, labelsize=5)
    axes.axvline(0, color="0.7", lw=0.6)
    axes.set_xlabel(f"Accuracy lost at depth {deepest} (points, linear to 1)\n"
                    "filled: cause; ring: the same with a remedy")  # fmt: skip


def draw_window_growth(axes, rows: list[dict]) -> None:
    """Draw window length against layer: alpha in safe windows, and B1; untrained and trained."""
    curves = [
        (chosen(rows, cause="untrained", variant="alpha, window"), "alpha, safe windows",
         RELU_COLOUR, "windows"),
        (chosen(rows, cause="untrained", variant="B1, window"), "B1, 1.5 x largest activation",
         SNN_COLOUR, "windows"),
    ]  # fmt: skip
    for found, name, colour, key in curves:
        row = max(found, key=lambda row: row["depth"])
        layers = np.arange(1, len(row[key]) + 1)
        axes.plot(layers, row[key], color=colour)
        above = colour == RELU_COLOUR
        axes.annotate(name, (layers[-1], row[key][-1]), (-8 if above else 0, 0 if above else -3),
                      textcoords="offset points", ha="right", va="top", fontsize=5.5)  # fmt: skip
    for row in chosen(rows, cause="window growth", variant="window", dtype="float64"):
        layers = np.arange(1, len(row["windows"]) + 1)
        axes.plot(layers, row["windows"], ".", color=RELU_COLOUR, ms=3, mew=0)
        axes.plot(layers, row["b1_windows"], ".", color=SNN_COLOUR, ms=3, mew=0)
    # Where the spacing of a precision's numbers reaches a unit of time.
    for name, bits, place in (("float16", 11, 0.65), ("float32", 24, 1), ("float64", 53, 1)):
        axes.axhline(2.0**bits, color="0.6", lw=0.6, ls=":")
        axes.annotate(
            f"1 ulp of {name} is a unit", (place, 2.0**bits), (0, 1), ha="right", va="bottom",
            fontsize=5, xycoords=("axes fraction", "data"), textcoords="offset points",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-9)
    axes.set_xlabel("Hidden layer (lines: untrained; dots: trained)")
    axes.set_ylabel("Window length, t_max - t_min")


def draw_clocks(axes, rows: list[dict]) -> None:
    """Draw points lost against the clock's bits, at each depth, and with both remedies."""
    styles = {"ticks": "-", "half tick, 99 % windows": "--"}
    for variant, style in styles.items():
        found = chosen(rows, cause="time resolution", variant=variant)
        for depth in sorted({row["depth"] for row in found}):
            points = {}
            for row in chosen(found, depth=depth):
                points.setdefault(row["bits"], []).append(loss_of(row))
            bits = sorted(points)
            lost = [np.mean(points[b]) for b in bits]
            colour, marker = depth_colour(depth), depth_marker(depth)
            axes.plot(bits, lost, style, color=colour, marker=marker, ms=2.2, lw=0.8)
            if variant == "ticks":
                crossing = next((n for n, value in enumerate(lost) if value < 45), 0)
                axes.annotate(f"{depth}", (bits[crossing], lost[crossing]), (2, 2), fontsize=5.5,
                              textcoords="offset points")  # fmt: skip
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks((0, 1, 10, 90), ("0", "1", "10", "90"))
    axes.set_xlabel("Clock (bits: 2^bits ticks a window)")
    axes.set_ylabel("Accuracy lost (points, linear to 1)")
    key = "number: depth\nsolid: threshold\nat ticks\ndashed: half a\ntick lower,\n99 % windows"
    axes.text(0.98, 0.97, key, transform=axes.transAxes, ha="right", va="top", fontsize=5.5)
