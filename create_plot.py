"""Plot test accuracy before and after conversion against network depth.

Reads   results/conversion.json              (from convert_all_models.py)
Writes  figures/depth_comparison.png         (.pdf and .svg with --formats)

    python create_plot.py                                  # about 2 s
    python create_plot.py --formats png pdf --figures /tmp/look
"""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ttfs import command_line
from ttfs.command_line import Parser, dataset_measured_last
from ttfs.datasets import DATASETS
from ttfs.figures import RELU_COLOUR, SNN_COLOUR, WIDTH, save_figures
from ttfs.metrics import percent, percent_interval
from ttfs.results import load_results
from ttfs.storage import check_writable, output_folder

COMMAND = "python convert_all_models.py"


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--dataset", choices=DATASETS, default="auto", help="auto: the one converted last"
    )
    parser.add_figure()
    return parser.parse_args(argv)


def draw_depth_comparison(results: dict) -> Figure:
    """Draw both accuracies, and their difference, against depth."""
    rows = results["rows"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.5), width_ratios=(3, 2))
    draw_accuracies(left, rows)
    draw_drops(right, rows)
    for axes in (left, right):
        axes.set_xlabel("Depth (weight layers)")
        axes.set_xticks([row["depth"] for row in rows])
        axes.margins(x=0.12)
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
    axes.set_ylim(min(low, min(snn)) - 0.25, max(high for _, high in intervals) + 0.35)
    axes.set_ylabel(f"Test accuracy (%), axis from {axes.get_ylim()[0]:.1f}")
    axes.legend(loc="upper left", ncols=2)


def draw_drops(axes, rows: list[dict]) -> None:
    """Draw the drop in percentage points, and write how many predictions agree."""
    depths = [row["depth"] for row in rows]
    drops = [percent(row["relu_correct"] - row["snn_correct"], row["n_test"]) for row in rows]
    axes.axhline(0, color="0.7", lw=0.6)
    axes.plot(depths, drops, "o", color=SNN_COLOUR)
    for depth, drop in zip(depths, drops, strict=True):
        axes.annotate(f"{drop:.2f}", (depth, drop), (0, 6), textcoords="offset points",
                      ha="center", fontsize=6)  # fmt: skip
    agreements, total = sum(r["agreements"] for r in rows), sum(r["n_test"] for r in rows)
    images = f"{rows[0]['n_test']:,} images"
    text = (
        f"same label on all {images}, at every depth" if agreements == total
        else f"{total - agreements:,} of {total:,} labels differ"
    )  # fmt: skip
    axes.text(0.5, 0.97, text, transform=axes.transAxes, ha="center", va="top")
    span = max(0.5, *(1.3 * abs(drop) for drop in drops))
    axes.set_ylim(-0.4 * span if min(drops) >= 0 else -span, span)
    axes.set_ylabel("Accuracy lost in conversion (points)")


@command_line.one_line_errors
def main(argv=None) -> None:
    """Read the results and write the figure."""
    args = parse(argv)
    check_writable(args.figures)
    dataset = dataset_measured_last(args.dataset, args.results, "conversion.json")
    results = load_results(output_folder(args.results, dataset) / "conversion.json", COMMAND)
    folder = output_folder(args.figures, dataset)
    paths = save_figures(draw_depth_comparison, results, folder, "depth_comparison", args.formats)
    print(f"{dataset}\n{command_line.wrote(paths)}")


if __name__ == "__main__":
    main()
