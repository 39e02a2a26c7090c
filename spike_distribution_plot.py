"""Show when hidden neurons fire: spike-time histograms by depth and layer.

Reads   models/mnist_{2,4,6,8}_layer.pkl              (from train_mnist_pytorch.py), MNIST
Writes  results/spike_time_distributions.json         integer counts: spikes a bin, silent neurons
        figures/spike_time_distributions.png          (.pdf and .svg with --formats)

    python spike_distribution_plot.py                      # all 10,000 test images
    python spike_distribution_plot.py --redraw             # from the results alone

A silent neuron has no spike time: it is counted and written into its panel, and not binned.
"""

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ttfs import command_line, stages, windows
from ttfs.command_line import Parser, text_table
from ttfs.conversion import convert
from ttfs.datasets import load_dataset
from ttfs.figures import WIDTH, depth_colour
from ttfs.metrics import batches, percent
from ttfs.simulation import closed_form

NAME = "spike_time_distributions"
BINS = 40  # a window


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_depths(smallest=2)
    parser.add_samples()
    parser.add_redraw()
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return a row a depth and layer: how many spikes fall into each fortieth of the window."""
    networks = stages.load_networks(args.models, dataset, args.depths)
    training, _, test = load_dataset(dataset, args.data_dir)
    chosen = stages.chosen_images(len(test.labels), args.samples, args.seed)
    rows = []
    for depth, network in networks.items():
        snn = convert(network, windows.calibrated(network, training.images))
        parts = command_line.progress(batches(*test, chosen), f"{depth} layers")
        rows += [{"depth": depth, "n_test": len(chosen), **row} for row in layer_rows(snn, parts)]
    return rows


def layer_rows(snn, test_batches) -> list[dict]:
    """Return a row a hidden layer: its window, the spikes a bin, spikes and silent neurons."""
    counts = np.zeros((len(snn.hidden), BINS), dtype=np.int64)
    silent = np.zeros(len(snn.hidden), dtype=np.int64)
    earliest = [layer.t_max for layer in snn.hidden]
    for images, _, _ in test_batches:
        spike_times = closed_form(snn, images.double()).spike_times
        for n, (layer, times) in enumerate(zip(snn.hidden, spike_times, strict=True)):
            fired = times[torch.isfinite(times)].numpy()
            counts[n] += np.histogram(fired, BINS, (layer.t_min, layer.t_max))[0]
            silent[n] += times.numel() - fired.size
            earliest[n] = min(earliest[n], fired.min(initial=np.inf))
    return [
        {
            "layer": n + 1, "t_min": layer.t_min, "t_max": layer.t_max,
            "earliest_spike": float(earliest[n]), "silent": int(silent[n]),
            "spikes": int(counts[n].sum()), "spikes_per_bin": counts[n].tolist(),
        } for n, layer in enumerate(snn.hidden)
    ]  # fmt: skip


def draw_spike_histograms(results: dict) -> Figure:
    """Draw one panel a depth (row) and hidden layer (column), all with the same axes."""
    rows = results["rows"]
    depths = sorted({row["depth"] for row in rows})
    columns = max(row["layer"] for row in rows)
    figure, grid = plt.subplots(
        len(depths), columns, figsize=(WIDTH, 0.45 + 1.15 * len(depths)), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
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
    figure.supxlabel(
        "Spike time, as a fraction of the window: t_min = 0, t_max = 1\n"
        f"{rows[0]['n_test']:,} test images; silent neurons, without a spike time, are not binned\n"
        "window: its length, t_max - t_min; triangle: the earliest spike of all", fontsize=7,
    )  # fmt: skip
    return figure


def draw_histogram(axes, row: dict) -> None:
    """Draw the share of a layer's spikes in each bin; write the silent share, which has no time."""
    shares = 100 * np.array(row["spikes_per_bin"]) / max(1, row["spikes"])
    axes.stairs(shares, np.linspace(0, 1, BINS + 1), fill=True, color=depth_colour(row["depth"]))
    start = (row["earliest_spike"] - row["t_min"]) / (row["t_max"] - row["t_min"])
    axes.plot(start, 0, marker=6, color="black", ms=4, clip_on=False)
    total = row["spikes"] + row["silent"]
    axes.text(
        0.04, 0.95, f"{percent(row['silent'], total):.0f} % silent\n"
        f"window {row['t_max'] - row['t_min']:.1f}", transform=axes.transAxes, va="top", fontsize=6,
    )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    script = "spike_distribution_plot.py"
    print(stages.report(args, script, NAME, measure, draw_spike_histograms, tables))


def tables(results: dict) -> str:
    """Return what is printed: window, silent share and used part of the window by layer."""
    rows = results["rows"]
    title = f"{results['dataset']}, {rows[0]['n_test']:,} test images\n\n"
    header = ("depth", "layer", "t_min", "t_max", "silent %", "used % of window")
    return title + text_table(header, [
        (
            str(row["depth"]), str(row["layer"]), f"{row['t_min']:.1f}", f"{row['t_max']:.1f}",
            f"{percent(row['silent'], row['silent'] + row['spikes']):.1f}",
            f"{100 * (row['t_max'] - row['earliest_spike']) / (row['t_max'] - row['t_min']):.0f}",
        ) for row in rows
    ])  # fmt: skip


if __name__ == "__main__":
    main()
