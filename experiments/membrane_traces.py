"""Draw real membrane potentials: a few neurons of one network while they read one digit.

Reads   models/mnist_8_layer.pkl          (from train_mnist_pytorch.py), MNIST
Writes  results/membrane_traces.json      corners of every potential, thresholds, input spikes
        figures/membrane_traces.png       (.pdf and .svg with --formats)

    python experiments/membrane_traces.py
    python experiments/membrane_traces.py --redraw         # from the results alone

The neurons that fire in the middle of the first and of the last hidden layer's spikes, as B1 and as
alpha. Then the first neurons that, as alpha without the guard, fire before t_min: one whose
potential rises past its threshold, and one whose threshold lies below the resting potential.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttfs import command_line, stages, windows
from ttfs.coding import encode
from ttfs.command_line import Parser, text_table, whole
from ttfs.conversion import convert
from ttfs.datasets import load_dataset
from ttfs.errors import InputError
from ttfs.figures import INPUT_COLOUR, RELU_COLOUR, SNN_COLOUR, WIDTH
from ttfs.simulation import event_driven

NAME = "membrane_traces"


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_argument("--depth", type=whole(2), default=8, help="of the network")
    parser.add_argument("--image", type=int, default=0, metavar="I", help="test image")
    parser.add_redraw()
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return a row a panel: a neuron's potential from its t_start to its t_max."""
    network = stages.load_networks(args.models, dataset, [args.depth])[args.depth]
    training, _, test = load_dataset(dataset, args.data_dir)
    if not 0 <= args.image < len(test.labels):
        raise InputError(f"--image {args.image}: the test images are 0 to {len(test.labels) - 1}")
    pixels = test.images[args.image : args.image + 1].double()
    lengths = windows.calibrated(network, training.images)
    alpha = convert(network, lengths, "alpha")
    free = event_driven(alpha, pixels, guard=False)
    chosen = [("typical", key) for key in typical_neurons(event_driven(alpha, pixels))]
    chosen += [("premature", key) for key in premature_neurons(alpha, free)]
    if not chosen:
        raise InputError(f"--image {args.image}: no neuron of the network fires; choose another")
    rows = []
    for why, key in chosen:
        for neuron, guard in (("B1", True), ("alpha", why == "typical")):
            snn = convert(network, lengths, neuron)
            simulation = event_driven(snn, pixels, guard, traced=[key])
            rows.append({"why": why, "guard": guard, **panel(snn, pixels, simulation, *key)})
    return rows


def typical_neurons(simulation) -> list[tuple[int, int]]:
    """Return (layer, neuron) in the middle of the first and of the last hidden layer's spikes."""
    chosen = []
    for n in sorted({1, len(simulation.spike_times)}):
        times = simulation.spike_times[n - 1][0]
        fired = int(torch.isfinite(times).sum())
        chosen += [(n, int(times.argsort()[fired // 2]))] if fired else []
    return chosen


def premature_neurons(snn, simulation) -> list[tuple[int, int]]:
    """Return the first (layer, neuron) to fire between t_start and t_min, and the first at t_start.

    There may be none of either.
    """
    between, at_start = [], []
    for n, (layer, times) in enumerate(zip(snn.hidden, simulation.spike_times, strict=True), 1):
        early = (times[0] < layer.t_min).nonzero().flatten().tolist()
        for i in early:
            (at_start if layer.threshold[i] <= 0 else between).append((n, i))
    return between[:1] + at_start[:1]


def panel(snn, pixels, simulation, n: int, neuron: int) -> dict:
    """Return what one panel shows: the potential's corners, its threshold, spikes in and out."""
    layer = snn.hidden[n - 1]
    times_in = (encode(pixels) if n == 1 else simulation.spike_times[n - 2])[0]
    spike = simulation.spike_times[n - 1][0, neuron].item()
    return {
        "neuron_model": snn.neuron, "layer": n, "neuron": neuron,
        "t_start": layer.t_start, "t_min": layer.t_min, "t_max": layer.t_max,
        "threshold": layer.threshold[neuron].item(),
        "corners": simulation.traces[n, neuron].tolist(),
        "input_spikes": times_in[torch.isfinite(times_in)].tolist(),
        "spike": spike if spike < torch.inf else None,
    }  # fmt: skip


def draw_traces(results: dict) -> Figure:
    """Draw a row a neuron: on the left as B1, on the right as alpha."""
    rows = results["rows"]
    figure, grid = plt.subplots(
        len(rows) // 2, 2, figsize=(WIDTH, 0.5 + 1.35 * (len(rows) // 2)), squeeze=False
    )
    for axes, row in zip(grid.flat, rows, strict=True):
        draw_trace(axes, row)
    grid[0, 0].set_title("B1: input alone before t_min, slope 1 after", loc="left")
    grid[0, 1].set_title("alpha: a slope of its own from the start", loc="left")
    figure.supxlabel("Time; the input's window and the neuron's own are drawn equally wide")
    figure.supylabel("Membrane potential (dimensionless)")
    return figure


def draw_trace(axes, row: dict) -> None:
    """Draw one potential with its threshold, its input spikes below and its own spike above."""
    ends = (row["t_start"], row["t_min"], row["t_max"])

    def place(times):
        return np.interp(times, ends, (0, 1, 2))

    corners = np.array([(row["t_start"], 0.0), *row["corners"]])
    early = row["spike"] is not None and row["spike"] < row["t_min"]
    colour = RELU_COLOUR if early else SNN_COLOUR
    axes.plot(place(corners[:, 0]), corners[:, 1], color=colour, lw=1)
    starts = 1 if row["guard"] else 0
    axes.plot((starts, 2), 2 * [row["threshold"]], "--", color="black", lw=0.8)
    axes.annotate("threshold", (1.5, row["threshold"]), (0, -2 if early else 2), va="top" if early
                  else "bottom", textcoords="offset points", ha="center", fontsize=5.5)  # fmt: skip
    axes.axvline(1, color="0.6", lw=0.6)
    axes.plot(place(row["input_spikes"]), np.zeros(len(row["input_spikes"])), "|", ms=4, mew=0.4,
              color=INPUT_COLOUR, transform=axes.get_xaxis_transform(), clip_on=False)  # fmt: skip
    moment = row["t_max"] if row["spike"] is None else row["spike"]
    potential = np.interp(moment, corners[:, 0], corners[:, 1])
    if row["spike"] is not None:
        axes.plot(place(moment), potential, "o", color=colour, ms=3.5, clip_on=False)
    label, offset, ha, va = "fires", (-5, 3), "right", "bottom"
    if row["spike"] is None:
        label, offset, va = "silent", (0, -8), "top"
    elif early:
        label = "fires before t_min"
        if moment == row["t_start"]:
            label, offset, ha, va = "threshold below rest: fires at once", (6, 0), "left", "center"
    axes.annotate(label, (place(moment), potential), offset, textcoords="offset points",
                  fontsize=5.5, ha=ha, va=va)  # fmt: skip
    axes.set_xlim(0, 2)
    axes.margins(y=0.2)
    axes.set_xticks((0, 1, 2), [f"{ends[0]:.4g}", f"t_min {ends[1]:.4g}", f"t_max {ends[2]:.4g}"])
    guard = "" if row["guard"] else ", no guard"
    axes.text(0.02, 1.0, f"layer {row['layer']}, neuron {row['neuron']}{guard}", va="top",
              transform=axes.transAxes, fontsize=5.5)  # fmt: skip


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    print(stages.report(args, "experiments/membrane_traces.py", NAME, measure, draw_traces, tables))


def tables(results: dict) -> str:
    """Return what is printed: each panel's neuron, threshold and times."""
    header = ("layer", "neuron", "model", "guard", "threshold", "t_min", "spike", "t_max")
    return text_table(header, [
        (
            str(row["layer"]), str(row["neuron"]), row["neuron_model"], str(row["guard"]),
            f"{row['threshold']:.3f}", f"{row['t_min']:.3f}",
            "silent" if row["spike"] is None else f"{row['spike']:.3f}", f"{row['t_max']:.3f}",
        ) for row in results["rows"]
    ])  # fmt: skip


if __name__ == "__main__":
    main()
