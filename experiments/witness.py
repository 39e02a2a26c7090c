"""Does another simulator see the same spikes? (5 minutes)

Brian2, which knows nothing of this project, is given the thresholds, weights and windows of the
networks, and the input spikes of five test images, as exported. It integrates every potential step
by step. Its spike times are set beside the exported ones, for smaller and smaller steps.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.tools import needed
from experiments.tools.brian2_neurons import witnessed
from ttfs.conversion import convert
from ttfs.export import save_spikes
from ttfs.simulation import event_driven
from ttfs.stages.figures import depth_panels, depth_style
from ttfs.stages.results import NUMBER, grouped
from ttfs.stages.tables import Table
from ttfs.windows import calibrated, normalise_layers

COLUMNS = {"depth": int, "image": int, "steps_per_window": int, "same_label": bool}
COLUMNS |= {"spikes": [int], "unmatched": [int], "differences": [NUMBER], "logit_error": NUMBER}
STEPS = (64, 256, 1024, 4096, 16384)  # per window
IMAGES = 5


def cases(lab) -> list[dict]:
    """Return every image with every step, at every depth."""
    needed("brian2")
    steps, images = (STEPS[:2], 2) if lab.quick else (STEPS, IMAGES)
    return [
        {"depth": depth, "image": image, "steps_per_window": n}
        for depth in lab.depths
        for n in steps
        for image in range(images)
    ]


def measure(lab, depth: int, image: int, steps_per_window: int) -> dict:
    """Return how Brian2's spikes differ from ours, by hidden layer.

    Differences are the largest, in windows, which are one unit long; unmatched is a neuron that
    fires here or there alone.
    """
    lengths = calibrated(lab.network(depth), lab.training.images)
    snn = convert(normalise_layers(lab.network(depth), lengths), [1.0] * (depth - 1))
    found = event_driven(snn, lab.shown(image))
    with tempfile.TemporaryDirectory() as folder:
        path, _ = save_spikes(Path(folder) / "spikes", found, torch.tensor([image]))
        with np.load(path) as file:
            inputs, *ours = (file[f"spike_times_{n}"][0] for n in range(depth))
    theirs = witnessed(snn, inputs, 1 / steps_per_window)
    row = {"spikes": [], "unmatched": [], "differences": []}
    for mine, other in zip(ours, theirs.spike_times, strict=True):
        both = np.isfinite(mine) & np.isfinite(other)
        row["spikes"].append(int(np.isfinite(mine).sum()))
        row["unmatched"].append(int((np.isfinite(mine) ^ np.isfinite(other)).sum()))
        row["differences"].append(float(np.abs(mine[both] - other[both]).max(initial=0)))
    logits = found.logits[0].numpy()
    error = float(np.abs(theirs.logits - logits).max() / np.abs(logits).max())
    same = bool(theirs.logits.argmax() == logits.argmax())
    return row | {"same_label": same, "logit_error": error}


def largest(rows: list[dict], key: str) -> list[float]:
    """Return the largest value of the images, by hidden layer."""
    return [max(values) for values in zip(*(row[key] for row in rows), strict=True)]


def table(rows: list[dict]) -> Table:
    """Return a line per depth and step: how far spikes are apart, how many have no partner."""
    lines = []
    for (depth, n), found in grouped(rows, "depth", "steps_per_window").items():
        apart = [n * difference for difference in largest(found, "differences")]
        spikes, alone = (sum(sum(row[key]) for row in found) for key in ("spikes", "unmatched"))
        same = sum(row["same_label"] for row in found)
        cells = [
            f"{apart[0]:.2f}",
            f"{apart[-1]:.2f}",
            f"{max(apart):.2f}",
            f"{max(apart) / n:.1e}",
        ]
        cells += [f"{alone} of {spikes:,}", f"{max(row['logit_error'] for row in found):.1e}"]
        lines.append([f"{depth}", f"{n:,}", *cells, f"{same} of {len(found)}"])
    header = ("depth", "steps per window", "steps apart: first layer", "last hidden layer")
    header += ("any layer", "in windows", "fired in one alone", "logit error", "same label")
    return Table(header, lines, 0, "largest differences between spike times, over the images")


def draw(rows: list[dict]) -> Figure:
    """Draw the largest difference between spike times against the step: a line per layer."""
    figure, panels = depth_panels(grouped(rows, "depth"), 2.6)
    for depth, axes in panels.items():
        by_step = grouped([row for row in rows if row["depth"] == depth], "steps_per_window")
        steps = [1 / n for n in by_step]
        layers = zip(*(largest(found, "differences") for found in by_step.values()), strict=True)
        for n, differences in enumerate(layers, start=1):
            style = depth_style(n, depth)
            axes.plot(steps, differences, lw=0.8, ms=3, label=f"layer {n}", **style)
        axes.plot(steps, steps, ":", color="0.5", lw=1, label="one step")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    first = next(iter(panels.values()))
    first.set_ylabel("Largest difference (windows)")
    figure.supxlabel("Brian2's time step (windows)")
    last = list(panels.values())[-1]
    figure.legend(
        *last.get_legend_handles_labels(), loc="outside upper center", ncols=8, columnspacing=1
    )
    return figure
