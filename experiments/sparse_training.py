"""How few spikes are enough? (45 minutes)

Networks learn in the time domain with a penalty on their activity, in continuous time: Hoyer's
measure, which counts the neurons that an image effectively uses, or the mean activation (L1). They
start anew, with batch normalisation and noise on the pixels while they learn, or from the trained
ReLU networks. How strong the penalty should be is chosen on validation images.
"""

from functools import partial

import torch
from matplotlib.figure import Figure

from experiments.learning import (
    JUDGED,
    accuracy,
    fewest_spikes,
    judged,
    mean,
    mean_accuracy,
    spikes_per_image,
    spikes_per_neuron,
    validation_accuracy,
)
from ttfs.conversion import convert
from ttfs.simulation import closed_form
from ttfs.stages.figures import (
    RELU_COLOUR,
    SNN_COLOUR,
    depth_panels,
    legend_above,
    note,
    plain_ticks,
)
from ttfs.stages.results import NUMBER, grouped, rows_with
from ttfs.stages.tables import Table, two_places
from ttfs.time_domain import TimeDomain, effective_share, mean_activation
from ttfs.windows import calibrated

COLUMNS = JUDGED | {"weight": NUMBER, "input_spikes": int}
AS_CONVERTED, HOYER, L1 = "as converted", "Hoyer", "L1"
FINE_TUNED = "Hoyer, from the trained network"
WEIGHTS = {HOYER: (0, 1, 3, 4, 6), L1: (3, 12), FINE_TUNED: (1, 3)}  # of the penalty
SEEDS = {HOYER: range(3)}  # of the others, the first
PIXEL_NOISE = 0.2
EPOCHS, EPOCHS_OF_TWO_LAYERS = 15, 30
SETTINGS = {"batch_size": 256, "learning_rate": 8e-3}
SLOWER = {"learning_rate": 1e-3}  # for networks without batch normalisation
TARGETS = (98.0, 98.2, 98.4)  # per cent
STYLES = {
    AS_CONVERTED: {"color": RELU_COLOUR, "marker": "s", "mfc": "white"},
    HOYER: {"color": SNN_COLOUR, "ls": "-", "marker": "o"},
    L1: {"color": "0.45", "ls": "--", "marker": "^"},
    FINE_TUNED: {"color": RELU_COLOUR, "ls": ":", "marker": "x"},
}
COLUMNS["network"] = dict.fromkeys(STYLES, {})


def cases(lab) -> list[dict]:
    """Return every network to train: from anew or not, penalty, its weight, and seed."""
    found = []
    for depth in lab.depths:
        found.append({"depth": depth, "network": AS_CONVERTED, "weight": 0, "training_seed": None})
        for network, weights in WEIGHTS.items():
            seeds = SEEDS.get(network, range(1))
            own = [(w, s) for w in weights for s in seeds]
            found += [
                {"depth": depth, "network": network, "weight": weight, "training_seed": seed}
                for weight, seed in (own[-2:] if lab.quick else own)
            ]
    return found


def measure(lab, depth: int, network: str, weight: float, training_seed: int | None) -> dict:
    """Return what a network with few spikes does, and how many it has."""
    if network == AS_CONVERTED:
        found, windows = lab.network(depth), calibrated(lab.network(depth), lab.training.images)
    else:
        found, windows, *_ = trained(lab, depth, network, weight, training_seed)
    return judged(lab, found, partial(closed_form, convert(found, windows)))


def trained(lab, depth: int, network: str, weight: float, seed: int):
    """Return a network that learned to be sparse."""
    generator, anew = torch.Generator().manual_seed(seed), network != FINE_TUNED
    start = lab.untrained(depth, generator) if anew else lab.network(depth)
    through = TimeDomain.starting(
        start,
        lab.training.images,
        generator,
        normalise=anew,
        sparsity=weight,
        activity=mean_activation if network == L1 else effective_share,
        pixel_noise=PIXEL_NOISE,
    )
    epochs = EPOCHS_OF_TWO_LAYERS if depth == 2 else EPOCHS
    settings = SETTINGS | ({} if anew else SLOWER)
    return lab.retrained(start, through, generator, epochs, **settings)


def table(rows: list[dict]) -> Table:
    """Return a line per depth and accuracy to keep: the penalty's weight with the fewest spikes.

    Of the networks that start anew with Hoyer's penalty: the others have one seed each.
    """
    lines = []
    for depth, found in grouped(rows, "depth").items():
        for target in (None, *TARGETS):
            if target is None:
                chosen = rows_with(found, network=AS_CONVERTED)
            else:
                settings = grouped(rows_with(found, network=HOYER), "weight").values()
                chosen = fewest_spikes(settings, target)
            lines.append([f"{depth}", *line(chosen, target)])
    header = ("depth", "to keep", "penalty", "weight", "hidden spikes per image", "per neuron")
    header += ("input spikes", "validation", "test", "seeds: lowest to highest")
    return Table(header, lines, 3, "the fewest spikes that keep an accuracy; accuracy in per cent")


def line(chosen: list[dict] | None, target: float | None) -> list[str]:
    """Return the cells of a setting after the first."""
    kept = "-" if target is None else f"{target:.1f} %"
    if chosen is None:
        return [kept, "none", *7 * ["-"]]
    first = chosen[0]
    tests = sorted(map(accuracy, chosen))
    spread = f"{tests[0]:.2f} to {tests[-1]:.2f}" if len(tests) > 1 else "-"
    return [
        kept,
        first["network"],
        f"{first['weight']}",
        f"{spikes_per_image(chosen):.1f}",
        f"{spikes_per_neuron(chosen):.3f}",
        f"{mean(chosen, 'input_spikes') / first['n_test']:.0f}",
        two_places(validation_accuracy(chosen)),
        two_places(mean_accuracy(chosen)),
        spread,
    ]


def draw(rows: list[dict]) -> Figure:
    """Draw accuracy against hidden spikes per neuron: a panel per depth, a line per penalty."""
    figure, panels = depth_panels(grouped(rows, "depth"), 2.9)
    for depth, axes in panels.items():
        for network, found in grouped(rows_with(rows, depth=depth), "network").items():
            draw_network(axes, found, network)
        axes.set_xscale("log")
        plain_ticks(axes.xaxis)
        for target in TARGETS:
            axes.axhline(target, color="0.85", lw=0.6, zorder=0)
    first = next(iter(panels.values()))
    first.margins(x=0.12, y=0.08)
    first.set_ylabel("Test accuracy (%)")
    figure.supxlabel(
        "Hidden spikes per neuron and image; dots: seeds; numbers: weight of the penalty"
    )
    legend_above(figure, first, 4)
    return figure


def draw_network(axes, rows: list[dict], network: str) -> None:
    """Draw the means of the seeds as a line over the penalty's weights, and each seed."""
    style, points = STYLES[network], []
    for weight, found in grouped(rows, "weight").items():
        points.append((spikes_per_neuron(found), mean_accuracy(found)))
        if network == HOYER:
            note(axes, f"{weight}", points[-1], (-8, 3))
            places = [spikes_per_neuron([row]) for row in found]
            axes.plot(places, list(map(accuracy, found)), ls="", marker=".", ms=2, color="0.3")
    axes.plot(*zip(*points, strict=True), label=network, **{"lw": 1, "ms": 4} | style)
