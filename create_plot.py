"""Plot test accuracy before and after conversion against network depth.

Reads   results/conversion.json              (from convert_all_models.py)
Writes  figures/depth_comparison.png         (.pdf, .svg and .eps with --formats)

    python create_plot.py
    python create_plot.py --formats png pdf --figures /tmp/look
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out

from ttfs.stages.ending import one_line_errors  # isort: split

from ttfs.metrics import percent, percent_interval
from ttfs.stages.figures import RELU_COLOUR, SNN_COLOUR, Figure, corner_note, note, save_figures
from ttfs.stages.inputs import command_for, dataset_measured_last
from ttfs.stages.options import DEEPEST, Parser
from ttfs.stages.report import rows_of_a_file, written_files
from ttfs.stages.results import grouped, load_results
from ttfs.storage import check_writable, output_folder

COLUMNS = {
    "depth": range(1, DEEPEST + 1),
    "engine": str,
    "policy": str,
    "n_test": int,
    "relu_correct": int,
}
COLUMNS |= {"snn_correct": int, "agreements": int}
SERIES = {  # key of a row: name, marker, fill, and how far beside its depth it is drawn
    "relu_correct": ("ReLU network", RELU_COLOUR, "white", -0.16),
    "snn_correct": ("spiking network", SNN_COLOUR, SNN_COLOUR, 0.16),
}


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add("dataset", help="auto: the one converted last")
    parser.add("network", "formats")
    parser.add_inputs("results")
    parser.add_outputs("figures")
    return parser.parse_args(argv)


def draw_depth_comparison(rows: list[dict]) -> Figure:
    """Draw both accuracies against depth, with their 95 % intervals: ReLU open, spiking filled."""
    rows = [found[0] for found in grouped(rows, "depth").values()]  # other engines: in the table
    figure = Figure(figsize=(4.6, 2.6))
    axes = figure.subplots()
    for key, (name, colour, face, shift) in SERIES.items():
        for row in rows:
            accuracy = percent(row[key], row["n_test"])
            low, high = percent_interval(row[key], row["n_test"])
            x, label = row["depth"] + shift, name if row is rows[0] else None
            axes.plot((x, x), (low, high), color=colour, lw=1)
            axes.plot(x, accuracy, "o", color=colour, mfc=face, ms=6, mew=1.2, label=label)
            side = {"ha": "left" if shift > 0 else "right", "va": "center"}
            note(axes, f"{accuracy:.2f}", (x, accuracy), (5 if shift > 0 else -5, 0), **side)
    axes.set_xticks([row["depth"] for row in rows])
    axes.set_xlabel("Depth (weight layers)")
    axes.margins(x=0.15, y=0.2)
    axes.set_ylabel(f"Test accuracy (%), axis from {axes.get_ylim()[0]:.1f}")
    axes.legend(loc="lower right", title="95 % intervals", title_fontsize=6)
    corner_note(axes, verdict(rows))
    return figure


def verdict(rows: list[dict]) -> str:
    """Return what was simulated, and on how many images both networks give the same label."""
    n_test, agreements = rows[0]["n_test"], sum(row["agreements"] for row in rows)
    same = f"same label on all {n_test:,} images at every depth"
    if agreements != n_test * len(rows):
        same = f"{n_test * len(rows) - agreements:,} of {n_test * len(rows):,} labels differ"
    engines, policies = (" and ".join(grouped(rows, key)) for key in ("engine", "policy"))
    return f"{engines}, {policies} windows:\n{same}"


@one_line_errors
def main(argv=None) -> None:
    """Read the results and write the figure."""
    args = parse(argv)
    dataset = dataset_measured_last(args.dataset, args.results, "conversion.json", args.network)
    path = output_folder(args.results, dataset, args.network) / "conversion.json"
    command = command_for("convert_all_models.py", dataset, args)
    rows = load_results(path, command, COLUMNS)["rows"]
    folder = output_folder(args.figures, dataset, args.network)
    check_writable(folder)
    print(dataset)
    place = folder / "depth_comparison"
    with rows_of_a_file(path, command):
        paths = save_figures(draw_depth_comparison, rows, place, args.formats)
    print(written_files(paths))


if __name__ == "__main__":
    main()
