"""Show when hidden neurons fire: spike-time histograms by depth and layer.

Reads   models/mnist_{2,4,6,8}_layer.pkl                  (from train_mnist_pytorch.py), MNIST
Writes  results/spike_time_distributions.json, .md        integer counts: spikes per bin, silence
        figures/spike_time_distributions.png              (.pdf, .svg and .eps with --formats)

    python spike_distribution_plot.py                      # all 10,000 test images
    python spike_distribution_plot.py --redraw             # from the results alone

A silent neuron has no spike time: it is counted and written into its panel, and not binned.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out

from ttfs.stages.ending import one_line_errors  # isort: split

import operator

import numpy as np
import torch

from ttfs.conversion import convert
from ttfs.datasets import load_dataset
from ttfs.metrics import BATCH, percent
from ttfs.simulation import closed_form
from ttfs.stages.figures import WIDTH, Figure, corner_note, depth_style
from ttfs.stages.inputs import image_places, load_networks
from ttfs.stages.options import Parser, progress, whole
from ttfs.stages.report import report
from ttfs.stages.results import NUMBER
from ttfs.stages.tables import Table
from ttfs.windows import calibrated

BINS = 40  # a window
DEEPEST = 13  # panels side by side, and a read-out, that can be told apart
COLUMNS = {"depth": range(2, DEEPEST + 1), "layer": range(1, DEEPEST), "n_test": int}
COLUMNS |= {"t_min": NUMBER, "t_max": NUMBER, "earliest_spike": NUMBER}
COLUMNS |= {"silent": int, "spikes": int, "spikes_per_bin": [int] * BINS}
COLUMNS[("t_min", "t_max")] = lambda t_min, t_max: 0 <= t_min < t_max < 1e9
COLUMNS[("t_min", "earliest_spike")] = COLUMNS[("earliest_spike", "t_max")] = operator.le
COLUMNS[("spikes", "spikes_per_bin")] = lambda spikes, per_bin: spikes == sum(per_bin)
COLUMNS[("silent", "spikes")] = lambda silent, spikes: silent + spikes > 0


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add("dataset", "network", "data-dir", "samples", "seed", "redraw", "formats")
    parser.add("depths", type=whole(2, DEEPEST))
    parser.add_inputs("models")
    parser.add_outputs("results", "figures")
    args = parser.parse_args(argv)
    if args.seed and args.samples is None:
        parser.error("--seed draws the images of --samples: alone it has no effect")
    return args


def measure(args, dataset: str) -> list[dict]:
    """Return a row per depth and layer: how many spikes fall into each fortieth of the window."""
    networks = load_networks(args.models, dataset, args.depths, args.network)
    training, _, test = load_dataset(dataset, args.data_dir)
    images = test.images[image_places(len(test.labels), args.samples, args.seed)]
    rows = []
    for depth, network in networks.items():
        snn = convert(network, calibrated(network, training.images))
        parts = progress(images.split(BATCH), f"{depth} layers")
        rows += [{"depth": depth, "n_test": len(images), **row} for row in layer_rows(snn, parts)]
    return rows


def layer_rows(snn, batches) -> list[dict]:
    """Return a row per hidden layer: its window, spikes per bin, spikes and silent neurons."""
    counts = np.zeros((len(snn.hidden), BINS), dtype=np.int64)
    silent = np.zeros(len(snn.hidden), dtype=np.int64)
    earliest = [layer.t_max for layer in snn.hidden]
    for images in batches:
        spike_times = closed_form(snn, images.double()).spike_times
        for n, (layer, times) in enumerate(zip(snn.hidden, spike_times, strict=True)):
            fired = times[torch.isfinite(times)].numpy()
            counts[n] += np.histogram(fired, BINS, (layer.t_min, layer.t_max))[0]
            silent[n] += times.numel() - fired.size
            earliest[n] = min(earliest[n], fired.min(initial=np.inf))
    return [
        {
            "layer": n + 1,
            "t_min": layer.t_min,
            "t_max": layer.t_max,
            "earliest_spike": float(earliest[n]),
            "silent": int(silent[n]),
            "spikes": int(counts[n].sum()),
            "spikes_per_bin": counts[n].tolist(),
        }
        for n, layer in enumerate(snn.hidden)
    ]


def draw_spike_histograms(rows: list[dict]) -> Figure:
    """Draw one panel per depth (row) and hidden layer (column), all with the same axes."""
    depths = sorted({row["depth"] for row in rows})
    columns = max(row["layer"] for row in rows)
    figure = Figure(figsize=(WIDTH, 0.45 + 1.15 * len(depths)))
    grid = figure.subplots(len(depths), columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for row in rows:
        axes = grid[depths.index(row["depth"]), row["layer"] - 1]
        axes.set_visible(True)
        draw_histogram(axes, row)
        if row["layer"] == 1:
            axes.set_ylabel(f"{row['depth']} layers\nspikes (%)")
    for column, axes in enumerate(grid[-1], start=1):
        axes.set_xlabel(f"hidden layer {column}")
    caption = (
        "Spike time, as a fraction of the window: t_min = 0, t_max = 1\n"
        f"{rows[0]['n_test']:,} test images; silent neurons, without a spike time, are not binned\n"
        "window: its length, t_max - t_min; triangle: the earliest spike of all"
    )
    figure.supxlabel(caption, fontsize=7)
    return figure


def draw_histogram(axes, row: dict) -> None:
    """Draw the share of a layer's spikes in each bin; write the silent share, which has no time."""
    shares = 100 * np.array(row["spikes_per_bin"]) / max(1, row["spikes"])
    colour, length = depth_style(row["depth"])["color"], row["t_max"] - row["t_min"]
    axes.stairs(shares, np.linspace(0, 1, len(shares) + 1), fill=True, color=colour)
    start = (row["earliest_spike"] - row["t_min"]) / length
    axes.plot(start, 0, marker=6, color="black", ms=4, clip_on=False)
    silent = percent(row["silent"], row["spikes"] + row["silent"])
    corner_note(axes, f"{silent:.0f} % silent\nwindow {length:.1f}")
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])


def table(rows: list[dict]) -> Table:
    """Return a line per depth and layer: window, silent share and used part of the window."""

    def used(row: dict) -> str:
        part = percent(row["t_max"] - row["earliest_spike"], row["t_max"] - row["t_min"])
        return f"{part:.0f}"

    columns = {
        "depth": "{depth}",
        "layer": "{layer}",
        "t_min": "{t_min:.1f}",
        "t_max": "{t_max:.1f}",
        "silent %": lambda row: f"{percent(row['silent'], row['silent'] + row['spikes']):.1f}",
        "used % of window": used,
    }
    return Table.of(rows, columns, 0, f"spike times of {rows[0]['n_test']:,} test images")


@one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    shown = COLUMNS, lambda dataset: measure(args, dataset), table, draw_spike_histograms
    print(report(args, "spike_distribution_plot.py", "spike_time_distributions", *shown))


if __name__ == "__main__":
    main()
