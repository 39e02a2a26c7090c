"""Certify that spikes carry the ReLU network's activations to within rounding; fail if not.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/exactness.json, .md        a row per depth, dtype, engine and layer

    python numerical_exactness_test.py                         # all 10,000 test images
    python numerical_exactness_test.py --depths 2 --samples 200

Compares the spiking network with the float64 ReLU network, layer by layer, in four precisions and
three ways: the closed form in window-relative time, in absolute time, and the event-driven
simulator. Exit status 1 if an error exceeds its derived bound (ttfs/exactness.py), or if, in
float64 or float32, a label differs or a logit is off by more than a limit (ttfs/certificate.py).
A network that is certified in 16 bits alone must have every label equal there.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out

from ttfs.stages.ending import one_line_errors  # isort: split

import itertools

from ttfs.certificate import certificate, verdict
from ttfs.conversion import convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.exactness import CERTIFIED
from ttfs.network import random_network
from ttfs.neurons import NEURONS
from ttfs.stages.inputs import image_places, load_networks
from ttfs.stages.options import COMMON, DTYPES, Parser, device_of, progress
from ttfs.stages.report import save_rows, written_files
from ttfs.stages.results import grouped, rows_with
from ttfs.stages.tables import Table
from ttfs.storage import check_writable, output_folder
from ttfs.training import architecture
from ttfs.windows import calibrated

UNTRAINED = tuple(itertools.product(("float64", "float32"), ["closed-form"]))


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add("dataset", "network", "data-dir", "depths", "samples", "seed", "device")
    option, precisions, engines = parser.add_argument, list(DTYPES), list(CERTIFIED)
    option("--neuron", choices=NEURONS, default="B1", help="neuron model")
    option("--dtype", choices=DTYPES, nargs="+", default=precisions, help="precisions")
    option("--engine", choices=CERTIFIED, nargs="+", default=engines, help="simulators")
    what = "depths of untrained 400-wide networks, drawn with --seed, to certify as well"
    changes = {"nargs": "*", "default": [64], "help": what}
    option("--random-depths", **(COMMON["depths"] | changes))
    parser.add_inputs("models")
    parser.add_outputs("results")
    return parser.parse_args(argv)


@one_line_errors
def main(argv=None) -> int:
    """Measure, print, save; return 1 if a verdict fails."""
    args = parse(argv)
    dataset = choose_dataset(args.dataset, args.data_dir)
    check_writable(output_folder(args.results, dataset, args.network))
    networks = load_networks(args.models, dataset, args.depths, args.network).values()
    training, _, test = load_dataset(dataset, args.data_dir)
    images = test.images[image_places(len(test.labels), args.samples, args.seed)]
    ways = list(itertools.product(args.dtype, args.engine))
    cases = [(network, True, ways) for network in networks]
    untrained = (random_network(architecture(n, 400), args.seed) for n in args.random_depths)
    cases += [(network, False, UNTRAINED) for network in untrained]
    rows = []
    with progress(None, "images", total=len(images) * len(cases), unit="image") as bar:
        for network, trained, ways in cases:
            snn = convert(network, calibrated(network, training.images), args.neuron)
            for row in certificate(network, snn, images, ways, bar.update, device_of(args)):
                rows.append({"depth": network.depth, "trained": trained, **row})
    script = "numerical_exactness_test.py"
    written = save_rows(args, script, "exactness", dataset, rows, table(rows))
    print(f"{dataset}, {len(images):,} test images, {args.neuron} neuron\n\n{table(rows)}\n")
    first = [row for row in rows if row["layer"] == 1 and row["depth"] == rows[0]["depth"]]
    title = f"One layer, of the {rows[0]['depth']}-layer network: activations carried by spikes"
    print(f"{detail_table(first, title)}\n")
    print(f"{detail_table(rows_with(rows, output=True), 'Whole networks: logits')}\n")
    faults = verdict(rows)
    print("\n".join(faults) or good_verdict(rows))
    print(written_files(written))
    return 1 if faults else 0


def good_verdict(rows: list[dict]) -> str:
    """Return the good verdict: what holds in every layer, and the labels of each precision.

    It is "exact" only if every label is the ReLU network's.
    """
    bounds = "every error under its bound"
    if any(row["bound"] is None or row["local_bound"] is None for row in rows):
        bounds += ", where there is one"
    outputs, labels = rows_with(rows, output=True), []
    for dtype, found in grouped(outputs, "dtype").items():
        worst = max(found, key=lambda row: row["n_test"] - row["agreements"])
        counts = f"at worst {worst['agreements']:,} of {worst['n_test']:,} labels equal"
        equal = worst["agreements"] == worst["n_test"]
        labels.append(f"{dtype}: {'every label equal' if equal else counts}")
    exact = all(row["agreements"] == row["n_test"] for row in outputs)
    return f"{'exact' if exact else 'within bounds'}: {bounds}; {'; '.join(labels)}"


def table(rows: list[dict]) -> Table:
    """Return a line per depth: relative logit error, and equal labels, by precision and engine."""
    outputs = rows_with(rows, output=True)
    groups = {
        f"{dtype}, {engine}": found
        for (dtype, engine), found in grouped(outputs, "dtype", "engine").items()
        if "16" not in dtype
    }
    for dtype in ("float16", "bfloat16"):
        groups[f"{dtype}, worst engine"] = rows_with(outputs, dtype=dtype)
    groups = {name: found for name, found in groups.items() if found}
    lines = []
    for depth in grouped(outputs, "depth"):
        cells = []
        for found in groups.values():
            found = rows_with(found, depth=depth)
            errors = [row["relative_error"] for row in found]
            error = "overflow" if None in errors else f"{max(errors, default=0):.0e}"
            labels = min((row["agreements"] for row in found), default=0)
            cells.append(f"{error}, {labels:,}" if found else "-")
        lines.append([f"{depth}", *cells])
    title = "Largest logit error / largest logit, and labels that are the ReLU network's"
    return Table(["depth", *groups], lines, title=title)


DETAIL = {
    "error_99.9_percent": (".1e", "99.9 % error"),
    "largest_error": (".1e", "largest"),
    "relative_error": (".1e", "relative"),
    "error_ulp": (".1f", "ulps"),
    "bound": (".0e", "bound"),
    "local_error": (".0e", "local error"),
    "local_bound": (".0e", "local bound"),
}


def detail_table(rows: list[dict], title: str) -> Table:
    """Return a line per depth, precision and engine: errors, absolute, relative, in ulps; bounds.

    "none" stands for a bound, or an error, that is not finite.
    """

    def cell(key: str, places: str):
        return lambda row: "none" if row[key] is None else f"{row[key]:{places}}"

    columns = {
        "depth": lambda row: f"{row['depth']}{'' if row['trained'] else ' (random)'}",
        "dtype": "{dtype}",
        "engine": "{engine}",
        **{name: cell(key, places) for key, (places, name) in DETAIL.items()},
        "agree": lambda row: f"{row['agreements']:,}/{row['n_test']:,}" if row["output"] else "-",
    }
    return Table.of(rows, columns, 3, title)


if __name__ == "__main__":
    raise SystemExit(main())
