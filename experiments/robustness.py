"""How much do jitter, lost spikes, unequal thresholds and coarse weights cost?

Reads   models/mnist_{2,4,6,8}_layer.pkl          (from train_mnist_pytorch.py), MNIST
Writes  results/robustness.json                   a row a depth, windows, fault, level and seed
        figures/robustness.png                    (.pdf and .svg with --formats)

    python experiments/robustness.py
    python experiments/robustness.py --quick
    python experiments/robustness.py --redraw              # from the results alone

Spike times jitter by a Gaussian, in units of the window, if there is a spike; silent neurons have
none. Ten noise seeds. Weights are rounded with torch's own fake quantisation. Windows are 1.5 x the
largest activation, or short ones, by ttfs.tuning.automatic.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttfs import command_line, stages, windows
from ttfs.command_line import Parser, text_table, two_places, whole
from ttfs.conversion import convert
from ttfs.figures import WIDTH, depth_colour, depth_marker
from ttfs.imperfections import Noise, noisy_closed_form, quantised
from ttfs.metrics import judged, points_lost, simulated
from ttfs.simulation import closed_form
from ttfs.tuning import automatic

NAME = "robustness"
LEVELS = {  # a fault's levels: in windows; probability; in windows
    "jitter": (0.001, 0.003, 0.01, 0.03, 0.1),
    "loss": (0.01, 0.03, 0.1, 0.2, 0.3),
    "mismatch": (0.001, 0.003, 0.01, 0.03, 0.1),
}
WEIGHT_BITS = (8, 7, 6, 5, 4, 3, 2)


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--noise-seeds", type=whole(1), default=10, metavar="N", help="noise seeds, 0 to N - 1"
    )
    parser.add_experiment("500 test images, 2 noise seeds")
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return a row a depth, window policy, fault, level and noise seed."""
    networks, training, validation, test = stages.networks_and_images(args, dataset)
    seeds = range(2 if args.quick else args.noise_seeds)
    rows = []
    for depth, network in networks.items():
        relu = network.logits(test.images.double()).argmax(1)
        policies = {
            "calibrated": windows.calibrated(network, training.images),
            "automatic": automatic(network, training.images, validation.images)[1],
        }
        for policy, lengths in policies.items():
            snn = convert(network, lengths)
            levels = [(fault, v, seed) for fault in LEVELS for v in LEVELS[fault] for seed in seeds]
            for fault, level, seed in command_line.progress(levels, f"{depth} layers, {policy}"):
                generator = torch.Generator().manual_seed(seed)
                noise = Noise(**{fault: level})
                row = tested(
                    partial(noisy_closed_form, snn, noise=noise, generator=generator), test, relu
                )
                setting = {"depth": depth, "windows": policy, "fault": fault, "level": level}
                rows.append({**setting, "noise_seed": seed, **row})
        for fault, per_channel in (("weights of a layer", False), ("weights of a neuron", True)):
            for bits in WEIGHT_BITS:
                coarse = quantised(network, bits, per_channel)
                snn = convert(coarse, windows.calibrated(coarse, training.images))
                row = tested(partial(closed_form, snn), test, relu)
                setting = {"depth": depth, "windows": "calibrated", "fault": fault, "level": bits}
                rows.append({**setting, "noise_seed": None, **row})
    return rows


def tested(simulate, test, relu) -> dict:
    """Return paired counts on the test images; one batch, so that a neuron's mismatch stays."""
    logits, _ = simulated(simulate, test.images, size=len(test.images))
    return judged(relu, logits.argmax(1), test.labels)


def series(rows: list[dict]) -> dict[tuple, dict[float, list[float]]]:
    """Return the points lost of all noise seeds, by (depth, windows, fault) and level."""
    table = {}
    for row in rows:
        key = row["depth"], row["windows"], row["fault"]
        table.setdefault(key, {}).setdefault(row["level"], []).append(points_lost(row))
    return table


def band(values: list[float]) -> tuple[float, float, float]:
    """Return the mean of several seeds' values, and the 95 % band that they span."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(np.mean(values)), float(low), float(high)


PANELS = {  # what a panel shows: its axis label, faults and window policies with their lines
    "jitter": ("Jitter (standard deviation, windows)", "log"),
    "loss": ("Lost spikes (probability)", "linear"),
    "mismatch": ("Threshold mismatch (windows)", "log"),
    "weights": ("Weights (bits)", "linear"),
}


def draw_robustness(results: dict) -> Figure:
    """Draw points lost against the level of each fault: one line a depth and policy."""
    table = series(results["rows"])
    figure, grid = plt.subplots(2, 2, figsize=(WIDTH, 4.6), sharey=True)
    for axes, (panel, (label, scale)) in zip(grid.flat, PANELS.items(), strict=True):
        for (depth, policy, fault), by_level in table.items():
            if fault.split()[0] == panel:
                dashed = fault == "weights of a layer" or (
                    policy == "calibrated" and panel in LEVELS
                )
                draw_line(axes, depth, by_level, "--" if dashed else "-")
        axes.set_xscale(scale)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(min(-0.3, 1.2 * min(map(points_lost, results["rows"]))), 99)
        axes.set_yticks((0, 0.5, 1, 10, 90), ("0", "0.5", "1", "10", "90"))
        axes.set_xlabel(label)
    grid[1, 1].invert_xaxis()
    notes = {
        grid[0, 0]: "dashed: windows of 1.5 x largest\nsolid: automatic windows",
        grid[1, 0]: "shaded: 95 % of the noise seeds",
        grid[1, 1]: "dashed: one scale a layer\nsolid: one a neuron",
    }
    for axes, note in notes.items():
        axes.text(0.02, 0.97, note, transform=axes.transAxes, va="top", fontsize=6)
    for depth in sorted({depth for depth, _, _ in table}):
        style = {"color": depth_colour(depth), "marker": depth_marker(depth), "ms": 2.5, "lw": 0.8}
        grid[0, 1].plot([], [], label=f"depth {depth}", **style)
    grid[0, 1].legend(loc="upper left")
    for axes in grid[:, 0]:
        axes.set_ylabel("Accuracy lost (points, linear to 1)")
    return figure


def draw_line(axes, depth: int, by_level: dict[float, list[float]], style: str) -> None:
    """Draw the mean over noise seeds, and their band."""
    levels = sorted(by_level)
    mean, low, high = zip(*(band(by_level[level]) for level in levels), strict=True)
    colour, marker = depth_colour(depth), depth_marker(depth)
    axes.plot(levels, mean, style, color=colour, marker=marker, ms=2.5, lw=0.8)
    axes.fill_between(levels, low, high, color=colour, alpha=0.2, lw=0)


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    script = "experiments/robustness.py"
    print(stages.report(args, script, NAME, measure, draw_robustness, tables))


def tables(results: dict) -> str:
    """Return what is printed: a line a fault, level and window policy, a column a depth."""
    title = f"{results['dataset']}: points lost, mean of the noise seeds (95 % band)\n\n"
    table = series(results["rows"])
    depths = sorted({depth for depth, _, _ in table})
    lines = []
    for policy, fault in dict.fromkeys((policy, fault) for _, policy, fault in table):
        for level in sorted(table[depths[0], policy, fault]):
            bands = [band(table[depth, policy, fault][level]) for depth in depths]
            entries = [
                f"{two_places(mean)} ({two_places(low)} to {two_places(high)})"
                for mean, low, high in bands
            ]
            lines.append([fault, f"{level:g}", policy, *entries])
    return title + text_table(("fault", "level", "windows", *map(str, depths)), lines)


if __name__ == "__main__":
    main()
