"""Certify that spikes carry the ReLU network's activations to within rounding; fail if not.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/exactness.json             a row a depth, dtype, engine and layer

    python numerical_exactness_test.py                         # all 10,000 test images
    python numerical_exactness_test.py --depths 2 --samples 200 --results /tmp/look

Compares the spiking network with the float64 ReLU network, layer by layer, in four precisions and
three ways: the closed form in window-relative time, in absolute time, and the event-driven
simulator. Exit status 1 if an error exceeds its derived bound (ttfs/exactness.py), or if, in
float64 or float32, a label differs or a logit is off by more than a limit (ttfs/certificate.py).
"""

import itertools

from ttfs import command_line, stages, windows
from ttfs.certificate import layer_rows, verdict
from ttfs.command_line import DTYPES, Parser, text_table, whole
from ttfs.conversion import NEURONS, convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.exactness import ENGINES
from ttfs.metrics import batches
from ttfs.network import random_network
from ttfs.results import save_results
from ttfs.storage import check_writable, output_folder
from ttfs.training import architecture


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_depths()
    parser.add_argument("--neuron", choices=NEURONS, default="B1", help="neuron model")
    parser.add_argument(
        "--dtypes", choices=DTYPES, nargs="+", default=list(DTYPES), help="precisions"
    )
    parser.add_argument(
        "--engines", choices=ENGINES, nargs="+", default=list(ENGINES),
        help="closed form in window-relative or absolute time; event-driven simulator",
    )  # fmt: skip
    parser.add_argument(
        "--random-depths", type=whole(1), nargs="*", default=[64], metavar="N",
        help="depths of untrained 400-wide networks, drawn with --seed, to certify as well",
    )  # fmt: skip
    parser.add_samples()
    parser.add_folder("models", "where the trained networks are")
    parser.add_folder("results", "where exactness.json goes")
    return parser.parse_args(argv)


def cases(args, networks: dict) -> list[tuple]:
    """Return every (network, whether it is trained, dtype, engine) to certify."""
    untrained = [random_network(architecture(n, 400), args.seed) for n in args.random_depths]
    trained = itertools.product(networks.values(), [True], args.dtypes, args.engines)
    return [*trained, *itertools.product(untrained, [False], ("float64", "float32"), ["window"])]


@command_line.one_line_errors
def main(argv=None) -> int:
    """Measure, print, save; return 1 if a verdict fails."""
    args = parse(argv)
    dataset = choose_dataset(args.dataset, args.data_dir)
    check_writable(output_folder(args.results, dataset))
    networks = stages.load_networks(args.models, dataset, args.depths)
    training, _, test = load_dataset(dataset, args.data_dir)
    chosen = stages.chosen_images(len(test.labels), args.samples, args.seed)
    rows = []
    for network, trained, dtype, engine in cases(args, networks):
        snn = convert(network, windows.calibrated(network, training.images), args.neuron)
        bar = command_line.progress(
            batches(*test, chosen), f"{network.depth} layers, {dtype}, {engine}"
        )
        setting = {"depth": network.depth, "trained": trained, "dtype": dtype, "engine": engine}
        found = layer_rows(network, snn, bar, DTYPES[dtype], engine)
        rows += [setting | row for row in found]
    path = output_folder(args.results, dataset) / "exactness.json"
    save_results(path, "numerical_exactness_test.py", args, dataset, rows)
    print(f"{dataset}, {len(chosen):,} test images, {args.neuron} neuron\n")
    first = [row for row in rows if row["layer"] == 1 and row["depth"] == args.depths[0]]
    print(f"One layer, of the {args.depths[0]}-layer network: decoded spike times beside ReLU\n")
    print(exactness_table(first))
    print("\nWhole networks: logits\n")
    print(exactness_table(row for row in rows if row["output"]) + "\n")
    faults = verdict(rows)
    print(
        "\n".join(faults)
        or "exact: every error under its bound, every label equal (float64, float32)"
    )
    print(stages.wrote([path]))
    return 1 if faults else 0


COLUMNS = {
    "error_99.9_percent": ".1e", "largest_error": ".1e", "relative_error": ".1e",
    "error_ulp": ".1f", "bound": ".0e", "local_error": ".0e", "local_bound": ".0e",
}  # fmt: skip


def exactness_table(rows) -> str:
    """Return the printed table: errors in units, relative and in ulps, beside the bounds.

    "none" stands for a bound, or an error, that is not finite.
    """
    header = ("depth", "dtype", "engine", "99.9 % error", "largest", "relative", "ulps", "bound",
              "local error", "local bound", "agree")  # fmt: skip
    return text_table(header, [
        (
            str(row["depth"]) if row["trained"] else f"{row['depth']} (random)",
            row["dtype"], row["engine"],
            *("none" if row[key] is None else f"{row[key]:{places}}"
              for key, places in COLUMNS.items()),
            f"{row['agreements']:,}/{row['n_test']:,}" if row["output"] else "-",
        ) for row in rows
    ])  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
