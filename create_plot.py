"""Plot test accuracy before and after conversion against network depth.

Reads   results/conversion.json              (from convert_all_models.py)
        results/degradation_causes.json      (from experiments/degradation_causes.py; optional)
Writes  figures/depth_comparison.png         (.pdf and .svg with --formats)

    python create_plot.py
    python create_plot.py --formats png pdf --figures /tmp/look

With the optional results, what the published recipe loses stands beside what this conversion loses.
"""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ttfs import command_line, stages
from ttfs.command_line import Parser
from ttfs.datasets import DATASETS
from ttfs.figures import (
    INPUT_COLOUR,
    RELU_COLOUR,
    SNN_COLOUR,
    WIDTH,
    label_ends,
    save_figures,
)
from ttfs.metrics import percent, percent_interval, points_lost
from ttfs.results import as_written_by, load_results
from ttfs.storage import check_writable, output_folder

SCRIPT = "convert_all_models.py"
CAUSES_COMMAND = "python experiments/degradation_causes.py"
USUAL = {  # settings of convert_all_models.py that the figure need not name
    "windows": "calibrated", "margin": 0.5, "quantile": 0.999, "t_max": 15.0, "neuron": "B1",
    "engine": "closed-form", "no_guard": False, "bits": 8, "half_tick": False, "dtype": "float64",
}  # fmt: skip
PUBLISHED_CURVES = {  # cause and variant in results/degradation_causes.json: how they are drawn
    "preprocessing: recipe on raw pixels":
    ("published recipe on networks\nof standardised pixels, {n} seeds", RELU_COLOUR, "s"),
    "published: as published": ("as published, 1,000 images", INPUT_COLOUR, "x"),
}  # fmt: skip


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--dataset", choices=DATASETS, default="auto", help="auto: the one converted last"
    )
    parser.add_figure()
    return parser.parse_args(argv)


def draw_depth_comparison(results: dict) -> Figure:
    """Draw both accuracies, and what conversion loses, against depth."""
    rows = results["rows"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.6), width_ratios=(1, 1))
    draw_accuracies(left, rows)
    draw_losses(right, rows, results["causes"], "this conversion" + unusual(results["arguments"]))
    for axes in (left, right):
        axes.set_xlabel("Depth (weight layers)")
        axes.set_xticks([row["depth"] for row in rows])
    return figure


def draw_accuracies(axes, rows: list[dict]) -> None:
    """Draw ReLU as open rings with 95 % intervals, and the spiking network as dots inside them."""
    depths = [row["depth"] for row in rows]
    relu = [percent(row["relu_correct"], row["n_test"]) for row in rows]
    snn = [percent(row["snn_correct"], row["n_test"]) for row in rows]
    intervals = [percent_interval(row["relu_correct"], row["n_test"]) for row in rows]
    below = [value - low for value, (low, _) in zip(relu, intervals, strict=True)]
    above = [high - value for value, (_, high) in zip(relu, intervals, strict=True)]
    axes.errorbar(
        depths, relu, yerr=(below, above), fmt="o", color=RELU_COLOUR, mfc="white", ms=9, mew=1.5,
        elinewidth=0.8, label="ReLU network, 95 % interval",
    )  # fmt: skip
    axes.plot(depths, snn, "o", color=SNN_COLOUR, ms=4, label="Spiking network", zorder=3)
    for depth, value in zip(depths, snn, strict=True):
        axes.annotate(f"{value:.2f}", (depth, value), (8, 0), textcoords="offset points",
                      va="center", fontsize=6)  # fmt: skip
    low = min(value for interval in intervals for value in interval)
    low, high = min(low, *snn), max(high for _, high in intervals)
    axes.set_ylim(low - 0.2 * (high - low), high + 0.3 * (high - low))
    axes.set_ylabel(f"Test accuracy (%), axis from {axes.get_ylim()[0]:.1f}")
    axes.legend(loc="upper left", ncols=2)
    axes.margins(x=0.18)


def unusual(arguments: dict) -> str:
    """Return a line that names every setting of the conversion that is not the usual one."""
    settings = [
        f"{key.replace('_', ' ')}: {arguments[key]}"
        for key, value in USUAL.items() if arguments[key] != value
    ]  # fmt: skip
    return "".join(f"\n{setting}" for setting in settings)


def draw_losses(axes, rows: list[dict], causes: list[dict], name: str) -> None:
    """Draw the points lost in conversion, and beside them, where known, in the published one."""
    depths = [row["depth"] for row in rows]
    lost = [points_lost(row) for row in rows]
    agreements, total = sum(r["agreements"] for r in rows), sum(r["n_test"] for r in rows)
    images = f"{rows[0]['n_test']:,} images"
    verdict = (
        f"{max(lost):.2f}: same label\non all {images}" if agreements == total
        else f"{total - agreements:,} of {total:,}\nlabels differ"
    )  # fmt: skip
    curves = [(depths, [[value] for value in lost], f"{name}\n{verdict}", SNN_COLOUR, "o")]
    for key, (label, colour, marker) in PUBLISHED_CURVES.items():
        found = {}
        for row in causes:
            if row["depth"] not in depths or f"{row['cause']}: {row['variant']}" != key:
                continue
            value = row["points_lost"] if "points_lost" in row else points_lost(row)
            found.setdefault(row["depth"], []).append(value)
        if found:
            label = label.format(n=max(map(len, found.values())))
            curves.append((list(found), list(found.values()), label, colour, marker))
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(-0.9, 99)
    axes.set_yticks((0, 1, 10, 50), ("0", "1", "10", "50"))
    axes.set_xlim(depths[0] - 0.6, depths[-1] + 0.95 * max(4, depths[-1] - depths[0]))
    axes.set_ylabel("Accuracy lost (points, linear to 1)")
    label_ends(axes, [draw_curve(axes, *curve) for curve in curves])


def draw_curve(axes, depths, values, label: str, colour, marker) -> tuple[float, float, str]:
    """Draw the mean and range of values against depth; return where the label belongs, and it."""
    means = [sum(v) / len(v) for v in values]
    axes.plot(depths, means, "-", marker=marker, color=colour, lw=1)
    axes.vlines(depths, [min(v) for v in values], [max(v) for v in values], colour, lw=0.8)
    return depths[-1], means[-1], label


@command_line.one_line_errors
def main(argv=None) -> None:
    """Read the results and write the figure."""
    args = parse(argv)
    check_writable(args.figures)
    dataset = stages.dataset_measured_last(args.dataset, args.results, "conversion.json")
    folder = output_folder(args.results, dataset)
    path, command = folder / "conversion.json", stages.command_for(SCRIPT, dataset)
    results = load_results(path, command)
    causes = folder / "degradation_causes.json"
    results["causes"] = load_results(causes, CAUSES_COMMAND)["rows"] if causes.exists() else []
    with as_written_by(command, path):
        paths = save_figures(
            draw_depth_comparison, results, output_folder(args.figures, dataset),
            "depth_comparison", args.formats,
        )  # fmt: skip
    print(dataset)
    if not results["causes"]:
        print(f"without the published recipe: {causes} not found; `{CAUSES_COMMAND}` makes it")
    print(stages.wrote(paths))


if __name__ == "__main__":
    main()
