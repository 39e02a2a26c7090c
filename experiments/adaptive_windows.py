"""How short can windows be? Latency against accuracy for every window policy, without retraining.

Reads   models/mnist_{2,4,6,8}_layer.pkl          (from train_mnist_pytorch.py), MNIST
Writes  results/adaptive_windows.json             a row a depth, policy and parameter
        figures/adaptive_windows.png              (.pdf and .svg with --formats)

    python experiments/adaptive_windows.py
    python experiments/adaptive_windows.py --quick
    python experiments/adaptive_windows.py --redraw        # from the results alone

Windows are chosen on training images, the automatic quantile on validation images; saturations and
accuracy are counted on test images. B1 neurons, closed form. Normalised windows are those of the
automatic quantile after ttfs.windows.normalise_layers: every layer's window takes one input window.
"""

import sys
from functools import partial
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttfs import command_line, stages, windows
from ttfs.command_line import Parser, text_table, two_places
from ttfs.conversion import convert
from ttfs.figures import RELU_COLOUR, SNN_COLOUR, WIDTH
from ttfs.metrics import judged, percent, points_lost, simulated
from ttfs.simulation import closed_form
from ttfs.tuning import QUANTILES, automatic

NAME = "adaptive_windows"
T_MAX_SWEEP = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_experiment()
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return a row a depth, policy and parameter."""
    networks, training, validation, test = stages.networks_and_images(args, dataset)
    rows = []
    for depth, network in command_line.progress(networks.items(), "depths"):
        cases = [("fixed", t_max, windows.fixed(network, t_max)) for t_max in T_MAX_SWEEP]
        cases.append(("calibrated", 0.5, windows.calibrated(network, training.images)))
        lengths = windows.quantiles(network, training.images, QUANTILES)
        cases += [("quantile", q, chosen) for q, chosen in zip(QUANTILES, lengths, strict=True)]
        q, chosen = automatic(network, training.images, validation.images)
        cases.append(("automatic", q, chosen))
        relu = network.logits(test.images.double()).argmax(1)
        relu_validation = network.logits(validation.images.double()).argmax(1)
        for policy, parameter, lengths in cases:
            snn = convert(network, lengths)
            on_validation = tested(snn, validation, relu_validation)
            rows.append({
                "depth": depth, "policy": policy, "parameter": parameter,
                **tested(snn, test, relu), "n_validation": on_validation["n_test"],
                "validation_agreements": on_validation["agreements"],
                "validation_mcnemar_p": on_validation["mcnemar_p"],
            })  # fmt: skip
        normalised = windows.normalise_layers(network, chosen)
        row = tested(convert(normalised, [1.0] * (depth - 1)), test, relu)
        rows.append({"depth": depth, "policy": "normalised", "parameter": q, **row})
    return rows


def tested(snn, split, relu) -> dict:
    """Return paired counts, latency and the audit's counts on a split's images."""
    logits, audit = simulated(partial(closed_form, snn), split.images)
    return {
        **judged(relu, logits.argmax(1), split.labels), "latency": snn.t_read,
        "windows": [layer.window_length for layer in audit],
        "saturations": [layer.saturations for layer in audit],
        "spikes": [layer.spikes for layer in audit],
        "used_fraction": [layer.used_fraction for layer in audit],
    }  # fmt: skip


def draw_pareto(results: dict) -> Figure:
    """Draw points lost against latency: one panel a depth, one curve a policy."""
    rows = results["rows"]
    depths = sorted({row["depth"] for row in rows})
    figure, grid = plt.subplots(
        1, len(depths), figsize=(WIDTH, 2.7), sharey=True, sharex=True, squeeze=False
    )
    for axes, depth in zip(grid.flat, depths, strict=True):
        draw_depth(axes, [row for row in rows if row["depth"] == depth], named=depth == depths[0])
        axes.set_title(f"{depth} layers")
    grid[0, 0].set_ylabel("Accuracy lost (points, linear to 0.1)")
    figure.supxlabel("Latency (input windows)", fontsize=7)
    return figure


STYLES = {  # policy: colour, marker, fill, line
    "fixed": ("0.5", "s", "white", ":"), "quantile": (SNN_COLOUR, "o", SNN_COLOUR, "-"),
    "calibrated": (RELU_COLOUR, "D", "white", ""), "automatic": ("black", "*", "black", ""),
    "normalised": ("black", "P", "white", ""),
}  # fmt: skip


def draw_depth(axes, rows: list[dict], named: bool) -> None:
    """Draw one depth's policies."""
    for policy, (colour, marker, fill, line) in STYLES.items():
        found = [row for row in rows if row["policy"] == policy]
        latency, lost = [row["latency"] for row in found], [points_lost(row) for row in found]
        axes.plot(latency, lost, line, marker=marker, color=colour, mfc=fill, label=policy,
                  ms=6 if marker in "*P" else 3.5, lw=0.9)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(min(-0.12, 1.2 * min(map(points_lost, rows))), 10)
    axes.set_yticks((-0.1, 0, 0.1, 1, 10), ("-0.1", "0", "0.1", "1", "10"))
    axes.axhline(0, color="0.8", lw=0.6, zorder=0)
    if named:
        axes.legend(loc="upper right")


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    script = "experiments/adaptive_windows.py"
    print(stages.report(args, script, NAME, measure, draw_pareto, tables))


def tables(results: dict) -> str:
    """Return what is printed: a line a depth, policy and parameter."""
    title = f"{results['dataset']}: latency in input windows, accuracy lost in points\n\n"
    header = ("depth", "policy", "parameter", "latency", "lost", "agree", "p", "saturated spikes",
              "used % of window")  # fmt: skip
    return title + text_table(header, [
        (
            str(row["depth"]), row["policy"], f"{row['parameter']:g}", f"{row['latency']:.1f}",
            two_places(points_lost(row)), f"{row['agreements']:,}/{row['n_test']:,}",
            f"{row['mcnemar_p']:.2g}",
            f"{percent(sum(row['saturations']), max(1, sum(row['spikes']))):.2g} %",
            f"{100 * min(row['used_fraction']):.0f} to {100 * max(row['used_fraction']):.0f}",
        ) for row in results["rows"]
    ])  # fmt: skip


if __name__ == "__main__":
    main()
