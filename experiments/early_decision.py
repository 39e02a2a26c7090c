"""Read the output before the last window has closed: how early is it right, how early certain?

Reads   models/mnist_{2,4,6,8}_layer.pkl          (from train_mnist_pytorch.py), MNIST
Writes  results/early_decision.json               a row a depth, window policy and moment
        figures/early_decision.png                (.pdf and .svg with --formats)

    python experiments/early_decision.py
    python experiments/early_decision.py --quick
    python experiments/early_decision.py --redraw          # from the results alone

While the last hidden layer's window fills, the output neurons' potentials can be read at any time.
A neuron that has fired will contribute a known amount by the end: the promised potential counts it
now. A decision is certain once no spike that may still come could change it (ttfs/readout.py).
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttfs import command_line, stages, windows
from ttfs.command_line import Parser, text_table
from ttfs.conversion import convert
from ttfs.figures import INPUT_COLOUR, RELU_COLOUR, SNN_COLOUR, WIDTH
from ttfs.metrics import percent
from ttfs.readout import is_certain, output_potentials, promised_logits
from ttfs.simulation import closed_form
from ttfs.tuning import automatic

NAME = "early_decision"
MOMENTS = 51  # in the last window, its ends included
NEAR = 0.1  # points: as good as the final accuracy


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_experiment()
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return a row a depth, window policy and moment."""
    networks, training, validation, test = stages.networks_and_images(args, dataset)
    rows = []
    for depth, network in command_line.progress(networks.items(), "depths"):
        policies = {
            "calibrated": windows.calibrated(network, training.images),
            "automatic": automatic(network, training.images, validation.images)[1],
        }
        for policy, lengths in policies.items():
            for row in moments(convert(network, lengths), test):
                rows.append({"depth": depth, "windows": policy, **row})
    return rows


def moments(snn, test) -> list[dict]:
    """Return a row a moment of the last window: correct, final and certain labels."""
    simulation = closed_form(snn, test.images.double())
    spike_times, final = simulation.spike_times[-1], simulation.predictions
    layer = snn.hidden[-1]
    rows = []
    for fraction in np.linspace(0, 1, MOMENTS).tolist():
        t = layer.t_min + fraction * layer.window_length
        potential = output_potentials(snn, spike_times, t).argmax(1)
        promised = promised_logits(snn, spike_times, t).argmax(1)
        certain = is_certain(snn, spike_times, t)
        rows.append({
            "fraction": fraction, "t": t, "latency": snn.t_read, "n_test": len(final),
            "potential_correct": int((potential == test.labels).sum()),
            "promised_correct": int((promised == test.labels).sum()),
            "promised_final": int((promised == final).sum()), "certain": int(certain.sum()),
            "certain_final": int((promised == final)[certain].sum()),
            "spikes": int((spike_times <= t).sum()),
        })  # fmt: skip
    return rows


def series(rows: list[dict]) -> dict[tuple, list[dict]]:
    """Return the rows by depth and window policy."""
    table = {}
    for row in rows:
        table.setdefault((row["depth"], row["windows"]), []).append(row)
    return table


CURVES = {  # key: name, colour, line
    "promised_correct": ("right, as promised", SNN_COLOUR, "-"),
    "potential_correct": ("right, potential so far", RELU_COLOUR, "--"),
    "certain": ("certain", INPUT_COLOUR, ":"),
}


def draw_early_decision(results: dict) -> Figure:
    """Draw the share of right and of certain labels against time: a row a window policy."""
    table = series(results["rows"])
    depths = sorted({depth for depth, _ in table})
    policies = list(dict.fromkeys(policy for _, policy in table))
    figure, grid = plt.subplots(
        len(policies), len(depths), figsize=(WIDTH, 0.6 + 1.7 * len(policies)), sharex=True,
        sharey=True, squeeze=False,
    )  # fmt: skip
    for line, policy in zip(grid, policies, strict=True):
        for axes, depth in zip(line, depths, strict=True):
            rows = table[depth, policy]
            fraction = [row["fraction"] for row in rows]
            for key, (name, colour, style) in CURVES.items():
                share = [percent(row[key], row["n_test"]) for row in rows]
                axes.plot(fraction, share, style, color=colour, label=name)
            axes.set_xticks((0, 0.5, 1), ("0", "½", "1"))
            if policy == policies[0]:
                axes.set_title(f"{depth} layers")
        line[0].set_ylabel(f"{policy} windows\ntest images (%)")
    grid[0, 0].legend(loc="upper left", bbox_to_anchor=(0, 0.85), handlelength=1.2)
    figure.supxlabel("Elapsed part of the last window", fontsize=7)
    return figure


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    script = "experiments/early_decision.py"
    print(stages.report(args, script, NAME, measure, draw_early_decision, tables))


def first(rows: list[dict], reached) -> dict:
    """Return the first moment from which on the condition holds; at the last moment it must."""
    found = rows[-1]
    for row in reversed(rows):
        if not reached(row):
            break
        found = row
    return found


def tables(results: dict) -> str:
    """Return what is printed: when the answer is near its final accuracy, and when certain."""
    title = f"{results['dataset']}: elapsed part of the last window, in per cent (time)\n\n"
    lines = []
    for (depth, policy), found in series(results["rows"]).items():
        n, final = found[-1]["n_test"], found[-1]["promised_correct"]
        near = final - NEAR / 100 * n
        moments = (
            first(found, lambda row, near=near: row["promised_correct"] >= near),
            first(found, lambda row, near=near: row["potential_correct"] >= near),
            first(found, lambda row, n=n: row["certain"] >= 0.5 * n),
            first(found, lambda row, n=n: row["certain"] >= 0.9 * n),
        )
        entries = [f"{100 * row['fraction']:.0f} ({row['t']:.1f})" for row in moments]
        lines.append([str(depth), policy, f"{found[-1]['latency']:.1f}", *entries])
    header = ("depth", "windows", "latency", "promised near final", "potential near final",
              "half certain", "90 % certain")  # fmt: skip
    return title + text_table(header, lines)


if __name__ == "__main__":
    main()
