"""Every window one unit long: layer normalisation is exact; normalising each sample is no network.

Reads   models/mnist_{2,4,6,8}_layer.pkl          (from train_mnist_pytorch.py), MNIST
Writes  results/layer_normalisation.json          a row a network and precision, and a row a layer
        figures/layer_normalisation.png           (.pdf and .svg with --formats)

    python experiments/layer_normalisation.py
    python experiments/layer_normalisation.py --quick
    python experiments/layer_normalisation.py --redraw     # from the results alone

ttfs.windows.normalise_layers rescales weights and biases, once, by what training images need. The
published recipe rescales each sample's activations as it runs: to stay exact, every threshold would
have to be divided by a factor that differs from image to image. The factor is measured here.
"""

import sys
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttfs import command_line, stages, windows
from ttfs.command_line import DTYPES, Parser, text_table, two_places
from ttfs.conversion import convert
from ttfs.figures import RELU_COLOUR, SNN_COLOUR, WIDTH, depth_colour
from ttfs.metrics import judged, points_lost, simulated
from ttfs.network import ReluNetwork, random_network
from ttfs.published import recipe_logits, sample_scale
from ttfs.results import chosen
from ttfs.simulation import closed_form
from ttfs.training import architecture

NAME = "layer_normalisation"
UNTRAINED_DEPTHS = (16, 32, 64)
BAND = (0.05, 0.5, 0.95)  # of the images


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_experiment("and 16; 500 test and 5,000 training images")
    return parser.parse_args(argv)


def measure(args, dataset: str) -> list[dict]:
    """Return a row a network and precision, a row a layer, and a row a sample-wise recipe."""
    networks, training, _, test = stages.networks_and_images(args, dataset)
    cases = [(network, True) for network in networks.values()]
    cases += [
        (random_network(architecture(depth, 400), seed=0), False)
        for depth in UNTRAINED_DEPTHS[: 1 if args.quick else None]
    ]
    rows = []
    for network, trained in command_line.progress(cases, "networks"):
        found = normalisation(network, training.images, test)
        if trained:
            found += samplewise(network, test)
        rows += [{"depth": network.depth, "trained": trained, **row} for row in found]
    return rows


def normalisation(network: ReluNetwork, training_images, test) -> list[dict]:
    """Return what normalisation changes (windows, weights) and what it leaves (labels, logits)."""
    lengths = windows.calibrated(network, training_images)
    normalised = windows.normalise_layers(network, lengths)
    after = windows.calibrated(normalised, training_images.double())
    rows = [
        {
            "kind": "layer", "layer": n + 1, "window": lengths[n], "window_after": after[n],
            "largest_weight": network.weights[n].abs().max().item(),
            "largest_weight_after": normalised.weights[n].abs().max().item(),
        } for n in range(network.depth - 1)
    ]  # fmt: skip
    snn = convert(normalised, [1.0] * (network.depth - 1))
    relu_logits = network.logits(test.images.double())
    for dtype in ("float64", "float32"):
        logits, audit = simulated(lambda x: closed_form(snn, x), test.images.to(DTYPES[dtype]))
        error = (logits.double() - relu_logits).abs().max() / relu_logits.abs().max()
        rows.append({
            "kind": "network", "dtype": dtype, "latency": 1 + sum(lengths),
            "latency_after": snn.t_read, "relative_error": error.item(),
            "saturations": sum(layer.saturations for layer in audit),
            **judged(relu_logits.argmax(1), logits.argmax(1), test.labels),
        })  # fmt: skip
    return rows


def samplewise(network: ReluNetwork, test) -> list[dict]:
    """Return what the published recipe loses, and the factors that its thresholds would need."""
    images = test.images.double()
    relu = network.logits(images).argmax(1)
    rows = []
    for n, x in enumerate([images, *network.activations(images)]):
        factor = sample_scale(x)  # of activations as they are: the product of the recipe's scales
        low, median, high = factor.quantile(torch.tensor(BAND, dtype=torch.float64)).tolist()
        rows.append({"kind": "sample", "layer": n + 1, "factor": [low, median, high]})
    counts = judged(relu, recipe_logits(network, images).argmax(1), test.labels)
    return [*rows, {"kind": "recipe", **counts}]


def draw_normalisation(results: dict) -> Figure:
    """Draw windows and weights before and after, and the factor that differs between images."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.5))
    rows = results["rows"]
    for trained in (False, True):
        for depth in sorted({row["depth"] for row in chosen(rows, trained=trained)}):
            layers = chosen(rows, kind="layer", depth=depth, trained=trained)
            draw_before_and_after(left, layers, "window", trained)
            draw_before_and_after(middle, layers, "largest_weight", trained)
    left.set_ylabel("Window length, 1.5 x largest activation")
    middle.set_ylabel("Largest weight (magnitude)")
    for colour, face, line, label in (
        (RELU_COLOUR, "white", "o-", "before"), (SNN_COLOUR, None, "o--", "after"),
    ):  # fmt: skip
        left.plot([], [], line, color=colour, mfc=face, ms=2.5, lw=0.8, label=label)
    left.legend(title="dots: trained; lines: untrained", title_fontsize=6, loc="best")
    for axes in (left, middle):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("Hidden layer")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    middle.set_yticks((0.05, 0.1, 0.2, 0.5), ("0.05", "0.1", "0.2", "0.5"))
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
    depths = sorted({row["depth"] for row in chosen(rows, kind="sample")})
    for depth in depths:
        found = chosen(rows, kind="sample", depth=depth)
        layers = [row["layer"] for row in found]
        low, median, high = zip(*(row["factor"] for row in found), strict=True)
        if depth == depths[-1]:
            axes.fill_between(layers, low, high, color="0.9", lw=0)
        axes.plot(layers, median, "o-", color=depth_colour(depth), ms=2.5, lw=0.8)
        axes.annotate(f"depth {depth}", (layers[-1], median[-1]), (3, -2), fontsize=6, va="top",
                      textcoords="offset points")  # fmt: skip
    band = f"band: 5 to 95 % of\nthe images, depth {depths[-1]}"
    axes.text(0.04, 0.97, band, va="top", fontsize=6, transform=axes.transAxes)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(right=depths[-1] + 2.5)
    axes.set_xlabel("Weight layer")
    axes.set_ylabel("A sample's own scale (max - min), by\nwhich its bias would be divided")


@command_line.one_line_errors
def main(argv=None) -> None:
    """Measure (unless told to redraw), draw, print a table."""
    args = parse(argv)
    script = "experiments/layer_normalisation.py"
    print(stages.report(args, script, NAME, measure, draw_normalisation, tables))


def tables(results: dict) -> str:
    """Return what is printed: a line a network and precision, and what the recipe loses."""
    title = f"{results['dataset']}: latency in input windows, error of the largest logit\n\n"
    rows, lines = results["rows"], []
    for row in chosen(rows, kind="network"):
        recipe = chosen(rows, kind="recipe", depth=row["depth"])
        lines.append([
            str(row["depth"]), "trained" if row["trained"] else "random", row["dtype"],
            f"{row['latency']:.1f}", f"{row['latency_after']:.0f}",
            f"{row['agreements']:,}/{row['n_test']:,}", f"{row['relative_error']:.1e}",
            str(row["saturations"]),
            two_places(points_lost(recipe[0])) if recipe and row["trained"] else "-",
        ])  # fmt: skip
    header = ("depth", "network", "dtype", "latency before", "after", "agree", "logit error",
              "saturated", "lost by the recipe")  # fmt: skip
    return title + text_table(header, lines)


if __name__ == "__main__":
    main()
