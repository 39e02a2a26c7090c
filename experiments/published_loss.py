"""How did the published loss come about? Trained and converted once more as it was. (31 minutes)

The original write-up, the text that this project started from, trained on standardised pixels until
98 % of the *test* images were right, and converted with the recipe of experiments/recipe.py, on raw
pixels and 1,000 test images. Here that is done once more: 20 training seeds per depth in batches of
128, and 5 in batches of 64. Then each of its two slips is mended: the pixels, and the biases.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from experiments.recipe import DEVIATION, MEAN, REPORTED_CORRECT, REPORTED_IMAGES, standardised
from experiments.slips import variants
from ttfs.metrics import percent, points_lost
from ttfs.stages.figures import RELU_COLOUR, SNN_COLOUR, WIDTH, depth_style, loss_axis, note
from ttfs.stages.results import NUMBER, grouped, rows_with
from ttfs.stages.tables import Table, two_places

PUSHES = {"bias_factors": [NUMBER], "push": NUMBER, "common_push": NUMBER, "changed_to": [int]}
COLUMNS = {"depth": int, "batch_size": int | None, "images": str, "n_test": int}
COLUMNS |= {"relu_correct": int, "snn_correct": int}
COLUMNS["variant"] = {
    **dict.fromkeys(("reported", "biases mended", "both mended", "this conversion"), {}),
    "ReLU on raw pixels": {},
    **dict.fromkeys(("published", "pixels mended"), PUSHES),
    "one factor a layer": {"bias_factors": [NUMBER]},
    **dict.fromkeys(("one bias", "first biases"), {"layer": int}),
}
SEEDS = {128: 20, 64: 5}  # training seeds, by the images of a batch: the text says 64
FIRST, ALL = "first 1,000", "all"
ARROW = "\N{RIGHTWARDS ARROW}"
MENDED = {  # lines of the table, and the variants whose points lost they show
    "points lost on all images, batches of 128": "published",
    f"{ARROW} biases rescaled": "biases mended",
    f"{ARROW} pixels as in training": "pixels mended",
    f"{ARROW} both": "both mended",
    f"{ARROW} this conversion (B1)": "this conversion",
    "the pixels alone: ReLU on raw ones": "ReLU on raw pixels",
}
STYLES = {128: (-0.3, 0.35, RELU_COLOUR), 64: (0.5, 0.15, "white")}  # place, width and face
NEEDS_MODELS = False  # it trains its own


def cases(lab) -> list[dict]:
    """Return every network to train, and what was reported."""
    seeds = {batch: 1 if lab.quick else n for batch, n in SEEDS.items()}
    keys = [(d, seed, b) for b, n in seeds.items() for seed in range(n) for d in lab.depths]
    if lab.dataset == "mnist":
        keys += [(depth, None, None) for depth in lab.depths if depth in REPORTED_CORRECT]
    return [{"depth": d, "training_seed": seed, "batch_size": b} for d, seed, b in keys]


def measure(lab, depth: int, training_seed: int | None, batch_size: int | None) -> list[dict]:
    """Return the rows of one network: every variant, on the first images and on all."""
    if batch_size is None:
        relu, snn = REPORTED_CORRECT[depth]
        counts = {"n_test": REPORTED_IMAGES, "relu_correct": relu, "snn_correct": snn}
        return [{"variant": "reported", "images": FIRST, **counts}]
    prepare = partial(standardised, mean=MEAN, deviation=DEVIATION)
    network, epochs = lab.trained_as_published(depth, training_seed, batch_size, prepare)
    rows = []
    for relu, simulate, keys in variants(lab, network):
        every = {ALL: None} if "layer" in keys else {FIRST: REPORTED_IMAGES, ALL: None}
        for images, n_images in every.items():
            counts = lab.judge(relu, simulate, n_images=n_images).counts
            rows.append({"epochs": epochs, "images": images} | keys | counts)
    return rows


def accuracy(row: dict) -> float:
    """Return the ReLU network's accuracy in per cent."""
    return percent(row["relu_correct"], row["n_test"])


def by_depth(rows: list[dict], measured: Callable, **keys) -> dict[int, list[float]]:
    """Return what is measured of the rows with these values, one number a run, by depth."""
    return {d: list(map(measured, g)) for d, g in grouped(rows_with(rows, **keys), "depth").items()}


def table(rows: list[dict]) -> Table:
    """Return lines by depth: the published numbers, the runs around them, and each slip mended."""
    depths = sorted(grouped(rows, "depth"))
    lines = []

    def add(name: str, values: dict, cell: Callable) -> None:
        lines.append([name, *(cell(values[depth]) if depth in values else "-" for depth in depths)])

    for what, measured in (("ReLU accuracy", accuracy), ("points lost", points_lost)):
        published = by_depth(rows, measured, variant="reported")
        add(f"{what}, as published", published, lambda values: two_places(values[0]))
        for batch_size in SEEDS:
            keys = {"variant": "published", "batch_size": batch_size, "images": FIRST}
            runs = by_depth(rows, measured, **keys)
            n_runs = len(next(iter(runs.values())))
            number = f"{n_runs} run{'s' * (n_runs > 1)}"
            add(f"{ARROW} {number}, batches of {batch_size}", runs, spread)
            places = {depth: sides(runs[depth], value) for depth, (value,) in published.items()}
            add(f"{ARROW} above / equal / below", places, lambda n: " / ".join(map(str, n)))
    for name, variant in MENDED.items():
        keys = {"variant": variant, "batch_size": 128, "images": ALL}
        add(name, by_depth(rows, points_lost, **keys), lambda values: two_places(np.mean(values)))
    return Table(("at depth", *map(str, depths)), lines, 1, "runs: lowest / median / highest")


def spread(values: list[float]) -> str:
    """Return the lowest, the median and the highest value."""
    return " / ".join(f"{v + 0.0:.1f}" for v in (min(values), np.median(values), max(values)))


def sides(values: list[float], published: float) -> tuple[int, int, int]:
    """Return how many values lie above the published one, on it, and below it."""
    above = np.round(np.subtract(values, published), 6)
    return int((above > 0).sum()), int((above == 0).sum()), int((above < 0).sum())


def draw(rows: list[dict]) -> Figure:
    """Draw the runs around the published numbers, and what the biases do."""
    figure = Figure(figsize=(WIDTH, 2.8))
    lost, relu, added, became = figure.subplots(1, 4, width_ratios=(1.7, 1.2, 1.2, 0.8))
    draw_runs(lost, rows, points_lost)
    loss_axis(lost.yaxis, 1, -1.5)
    lost.axhline(0, color=SNN_COLOUR, lw=1.2, zorder=0)
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "top"}
    note(lost, "this conversion: 0 at every depth", (0.98, 0), (0, -2), color=SNN_COLOUR, **place)
    draw_runs(relu, rows, accuracy)
    draw_growth(added, rows)
    draw_classes(became, rows)
    titles = {
        lost: "a   Points lost, first 1,000 images",
        relu: "b   ReLU accuracy (%)",
        added: "c   Layer by layer",
        became: "d   New labels",
    }
    for axes, title in titles.items():
        axes.set_title(title, loc="left", fontweight="bold")
    return figure


def draw_runs(axes, rows: list[dict], measured: Callable) -> None:
    """Draw every run as a point by depth, and the published number as a mark among them."""
    for batch_size, (place, width, face) in STYLES.items():
        keys = {"variant": "published", "batch_size": batch_size, "images": FIRST}
        runs = by_depth(rows, measured, **keys)
        style = {"color": RELU_COLOUR, "mfc": face, "ms": 2.5, "mew": 0.6}
        for depth, values in runs.items():
            across = depth + place + width * np.linspace(-1, 1, len(values))
            axes.plot(across, sorted(values), "o", **style)
        axes.plot([], [], "o", label=f"batches of {batch_size}", **style)
    for depth, (value,) in by_depth(rows, measured, variant="reported").items():
        axes.plot((depth - 0.85, depth + 0.75), (value, value), color="black", lw=1.2)
        if measured is points_lost or depth == max(runs):
            note(axes, f"{value:.1f}", (depth + 0.75, value), (2, 0), va="center")
    axes.plot([], [], color="black", lw=1.2, label="published")
    if measured is points_lost:
        axes.legend(loc="upper left")
    axes.set_xticks(sorted(grouped(rows, "depth")))
    axes.set_xlabel("Depth (weight layers)")


def draw_growth(axes, rows: list[dict]) -> None:
    """Draw points lost against the last layer whose bias is not rescaled, by depth."""
    depths = grouped(rows_with(rows, variant="first biases", batch_size=128), "depth")
    for depth, found in depths.items():
        by_layer = grouped(found, "layer")
        lost = [np.mean(list(map(points_lost, part))) for part in by_layer.values()]
        axes.plot([1, *by_layer], [0, *lost], ms=3, lw=0.8, **depth_style(depth))
        offset, place = ((0, 4), "right") if depth == max(depths) else ((4, -4), "left")
        note(axes, f"{depth} layers", (depth, lost[-1]), offset, ha=place)
    axes.set_xlabel("Last layer whose bias\nis not rescaled")
    axes.set_ylabel("Points lost, mean of the runs")


def draw_classes(axes, rows: list[dict]) -> None:
    """Draw which labels the changed images get, in the deepest networks."""
    deepest = max(grouped(rows, "depth"))
    keys = {"variant": "published", "batch_size": 128, "images": ALL, "depth": deepest}
    total = np.sum([row["changed_to"] for row in rows_with(rows, **keys)], axis=0)
    shares = 100 * total / max(total.sum(), 1)
    axes.barh(range(10), shares, color=RELU_COLOUR)
    axes.set_yticks(range(10))
    axes.set_xlabel(f"Changed labels\nat {deepest} layers (%)")
    axes.set_ylabel("Digit")
