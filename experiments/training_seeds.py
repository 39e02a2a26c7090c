"""How much do trainings differ? (9 minutes)

The networks of ``train_mnist_pytorch.py``, trained with the same settings and five seeds per depth,
on one thread each. A seed gives the same bytes on the same processor with the same number of
threads only: elsewhere it gives another network, as another seed would. Validation images say when
training stops; test images report.
"""

import numpy as np
from matplotlib.figure import Figure

from ttfs.metrics import percent
from ttfs.stages.figures import depth_style, note
from ttfs.stages.results import grouped
from ttfs.stages.tables import Table, two_places

COLUMNS = {"depth": int, "training_seed": int, "n_test": int, "relu_correct": int, "epochs": int}
SEEDS = range(5)
NEEDS_MODELS = False  # it trains its own


def cases(lab) -> list[dict]:
    """Return every network to train."""
    seeds = SEEDS[:2] if lab.quick else SEEDS
    return [{"depth": depth, "training_seed": seed} for depth in lab.depths for seed in seeds]


def measure(lab, depth: int, training_seed: int) -> dict:
    """Return how good the network of a seed is."""
    network, history = lab.trained(depth, training_seed)
    (counts,) = lab.tally(network.logits, correct)
    return {"epochs": len(history), "validation_correct": max(history)} | counts


def correct(logits, labels) -> list[dict]:
    """Return how many labels are right."""
    return [{"n_test": len(labels), "relu_correct": int((logits.argmax(1) == labels).sum())}]


def accuracies(rows: list[dict]) -> dict[int, list[float]]:
    """Return the test accuracies of all seeds by depth, in per cent."""
    return {
        depth: [percent(row["relu_correct"], row["n_test"]) for row in found]
        for depth, found in grouped(rows, "depth").items()
    }


def table(rows: list[dict]) -> Table:
    """Return a line per depth: the accuracies' mean, deviation, smallest and largest."""
    lines = []
    for depth, values in accuracies(rows).items():
        spread = (np.mean(values), np.std(values, ddof=1), min(values), max(values))
        lines.append([f"{depth}", f"{len(values)}", *map(two_places, spread)])
    header = ("depth", "seeds", "mean", "standard deviation", "lowest", "highest")
    return Table(header, lines, title="test accuracy of the ReLU networks, per cent")


def draw(rows: list[dict]) -> Figure:
    """Draw every network's accuracy against depth."""
    figure = Figure(figsize=(3.5, 2.2))
    axes = figure.subplots()
    found = accuracies(rows)
    for depth, values in found.items():
        axes.plot([depth] * len(values), values, ls="", mfc="none", ms=4, **depth_style(depth))
        axes.plot((depth - 0.35, depth + 0.35), 2 * [np.mean(values)], color="black", lw=1)
        note(axes, f"{np.mean(values):.2f}", (depth + 0.35, np.mean(values)), (2, 0), va="center")
    axes.set_xticks(list(found))
    axes.set_xlim(min(found) - 1, max(found) + 1.4)
    axes.set_xlabel("Depth (weight layers); line: mean of the seeds")
    axes.set_ylabel("Test accuracy (%)")
    return figure
