"""Can every window have the same length? (1 minute)

ttfs.windows.normalise_layers rescales weights and biases, once, by what training images need: every
window takes one unit of time, and the function stays what it is, to depth 64. The recipe of the
original write-up rescales each sample's activations as it runs: to stay exact, every threshold
would have to be divided by a factor that differs from image to image. It is measured here.
"""

from functools import partial

import torch
from matplotlib.figure import Figure

from experiments.causes import judge_logits
from experiments.recipe import recipe_logits, sample_scale
from ttfs.conversion import convert
from ttfs.metrics import points_lost
from ttfs.network import random_network
from ttfs.simulation import closed_form
from ttfs.stages.figures import (
    RELU_COLOUR,
    SNN_COLOUR,
    WIDTH,
    corner_note,
    depth_style,
    plain_ticks,
)
from ttfs.stages.options import DTYPES
from ttfs.stages.results import NUMBER, grouped, rows_with
from ttfs.stages.tables import Table, two_places
from ttfs.training import architecture
from ttfs.windows import calibrated, normalise_layers

PAIRED = {"n_test": int, "relu_correct": int, "snn_correct": int, "agreements": int}
COLUMNS = {"depth": int, "trained": bool}
COLUMNS["kind"] = {
    "layer": {"layer": int, "window": NUMBER, "window_after": NUMBER}
    | {"largest_weight": NUMBER, "largest_weight_after": NUMBER},
    "network": {"latency": NUMBER, "latency_after": NUMBER, "relative_error": NUMBER}
    | {"dtype": str, **PAIRED},
    "sample": {"layer": int, "factor": [NUMBER]},
    "recipe": PAIRED,
}
UNTRAINED_DEPTHS = (16, 32, 64)
BAND = (0.05, 0.5, 0.95)  # of the images


def cases(lab) -> list[dict]:
    """Return every network, trained or not."""
    untrained = UNTRAINED_DEPTHS[:1] if lab.quick else UNTRAINED_DEPTHS
    trained = [{"depth": depth, "trained": True} for depth in lab.depths]
    return trained + [{"depth": depth, "trained": False} for depth in untrained]


def measure(lab, depth: int, trained: bool) -> list[dict]:
    """Return a row per layer and per precision, and of a trained network what the recipe does."""
    network = lab.network(depth) if trained else random_network(architecture(depth, 400), seed=0)
    images = lab.training.images
    lengths = calibrated(network, images)
    normalised = normalise_layers(network, lengths)
    after = calibrated(normalised, images.double())
    rows = [
        {
            "kind": "layer",
            "layer": n + 1,
            "window": lengths[n],
            "window_after": after[n],
            "largest_weight": network.weights[n].abs().max().item(),
            "largest_weight_after": normalised.weights[n].abs().max().item(),
        }
        for n in range(depth - 1)
    ]
    snn = convert(normalised, [1.0] * (depth - 1))
    latency = {"latency": 1 + sum(lengths), "latency_after": snn.t_read}
    for dtype in ("float64", "float32"):
        found = lab.judge(network, partial(closed_form, snn), DTYPES[dtype])
        errors = {"relative_error": found.logit_error / found.largest_logit}
        errors["saturations"] = sum(layer.saturations for layer in found.audit)
        rows.append({"kind": "network", "dtype": dtype} | latency | errors | found.counts)
    if trained:
        rows += lab.tally(lambda x: [x, *network.activations(x)], sample_factors)
        recipe = judge_logits(lab, network, partial(recipe_logits, network))
        rows.append({"kind": "recipe", **recipe.counts})
    return rows


def sample_factors(values: list[torch.Tensor], _) -> list[dict]:
    """Return a row per weight layer: by what each sample's bias would have to be divided, a band.

    Of activations as they are, that is the product of the recipe's scales.
    """
    rows = []
    for n, x in enumerate(values):
        band = sample_scale(x).quantile(torch.tensor(BAND, dtype=torch.float64))
        rows.append({"kind": "sample", "layer": n + 1, "factor": band.tolist()})
    return rows


def table(rows: list[dict]) -> Table:
    """Return a line per network and precision, and what the recipe loses."""

    def lost_by_recipe(row: dict) -> str:
        recipe = rows_with(rows, kind="recipe", depth=row["depth"]) if row["trained"] else []
        return two_places(points_lost(recipe[0])) if recipe else "-"

    columns = {
        "depth": "{depth}",
        "network": lambda row: "trained" if row["trained"] else "random",
        "dtype": "{dtype}",
        "latency, calibrated": "{latency:.1f}",
        "latency, normalised": "{latency_after:.0f}",
        "same label": "{agreements:,} of {n_test:,}",
        "logit error": "{relative_error:.1e}",
        "points lost by the recipe": lost_by_recipe,
    }
    title = "latency in input windows, error of the largest logit"
    return Table.of(rows_with(rows, kind="network"), columns, 3, title)


def draw(rows: list[dict]) -> Figure:
    """Draw windows and weights before and after, and the factor that differs between images."""
    figure = Figure(figsize=(WIDTH, 2.5))
    left, middle, right = figure.subplots(1, 3)
    for (trained, _), layers in grouped(rows_with(rows, kind="layer"), "trained", "depth").items():
        draw_before_and_after(left, layers, "window", trained)
        draw_before_and_after(middle, layers, "largest_weight", trained)
    left.set_ylabel("Window length (units)")
    middle.set_ylabel("Largest weight (magnitude)")
    for colour, line, name in ((RELU_COLOUR, "o-", "before"), (SNN_COLOUR, "o--", "after")):
        left.plot(
            [], [], line, color=colour, mfc="white" if name == "before" else colour, label=name
        )
    for axes in (left, middle):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("Hidden layer")
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
    middle.set_yticks((0.05, 0.1, 0.2, 0.5))
    left.legend(loc="upper right", title="dots: trained;\nlines: untrained", title_fontsize=6)
    draw_factors(right, rows)
    return figure


def draw_before_and_after(axes, layers: list[dict], key: str, trained: bool) -> None:
    """Draw one quantity against layer, before and after normalisation."""
    style = {"marker": "o" if trained else "", "ms": 2.5, "lw": 0.8}
    place = [row["layer"] for row in layers]
    axes.plot(place, [row[key] for row in layers], color=RELU_COLOUR, mfc="white", **style)
    axes.plot(place, [row[f"{key}_after"] for row in layers], "--", color=SNN_COLOUR, **style)


def draw_factors(axes, rows: list[dict]) -> None:
    """Draw the median of the images' factors by layer, and the deepest network's band."""
    groups = grouped(rows_with(rows, kind="sample"), "depth")
    for depth, found in groups.items():
        layers = [row["layer"] for row in found]
        low, median, high = zip(*(row["factor"] for row in found), strict=True)
        if depth == max(groups):
            axes.fill_between(layers, low, high, color="0.9", lw=0)
        axes.plot(layers, median, ms=3, lw=0.8, label=f"depth {depth}", **depth_style(depth))
    corner_note(axes, f"band: 5 to 95 % of\nthe images, depth {max(groups)}")
    axes.legend(loc="lower right")
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.set_yticks((1, 2, 5, 10, 20, 50))
    axes.set_xlabel("Weight layer")
    axes.set_ylabel("A sample's own scale (max - min), by\nwhich its bias would be divided")
