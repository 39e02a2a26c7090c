"""Convert every trained network to spikes and test both on the same images.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/conversion.json            a row a depth: integer counts, windows, audit

    python convert_all_models.py                               # all 10,000 images, about 20 s
    python convert_all_models.py --depths 2 --samples 200 --results /tmp/look
    python convert_all_models.py --windows fixed --t-max 15    # the same window everywhere
"""

from ttfs import command_line, windows
from ttfs.command_line import DTYPES, Parser, positive_float, text_table
from ttfs.conversion import NEURONS, convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.metrics import batches, compare, percent
from ttfs.results import save_results
from ttfs.storage import check_writable, output_folder


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_depths()
    parser.add_argument(
        "--windows", choices=("calibrated", "quantile", "fixed"), default="calibrated",
        help="window lengths: (1 + margin) x the largest training activation of each layer; "
        "the quantile of its training spikes; or t-max everywhere",
    )  # fmt: skip
    parser.add_argument("--margin", type=float, default=0.5, help="of calibrated windows")
    parser.add_argument("--quantile", type=float, default=0.999, help="of quantile windows")
    parser.add_argument(
        "--t-max", type=positive_float, default=15.0, help="length of fixed windows, model time"
    )
    parser.add_argument("--neuron", choices=NEURONS, default="B1", help="neuron model")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float64", help="of the spiking network's simulation"
    )
    parser.add_samples()
    parser.add_folder("models", "where the trained networks are")
    parser.add_folder("results", "where conversion.json goes")
    return parser.parse_args(argv)


def window_lengths(args, network, training_images) -> list[float]:
    """Return the window lengths that the command line asks for."""
    if args.windows == "fixed":
        return windows.fixed(network, args.t_max)
    if args.windows == "quantile":
        return windows.quantile(network, training_images, args.quantile)
    return windows.calibrated(network, training_images, args.margin)


@command_line.one_line_errors
def main(argv=None) -> None:
    """Convert and test each depth, print the table and save it."""
    args = parse(argv)
    check_writable(args.results)
    dataset = choose_dataset(args.dataset, args.data_dir)
    networks = command_line.load_networks(args.models, dataset, args.depths)
    training, _, test = load_dataset(dataset, args.data_dir)
    chosen = command_line.chosen_images(len(test.labels), args.samples, args.seed)
    rows = []
    for depth, network in networks.items():
        snn = convert(network, window_lengths(args, network, training.images), args.neuron)
        test_batches = command_line.progress(batches(*test, chosen), f"{depth} layers")
        counts = compare(network, snn, test_batches, DTYPES[args.dtype])
        rows.append({"depth": depth, **counts})
    path = output_folder(args.results, dataset) / "conversion.json"
    save_results(path, "convert_all_models.py", args, dataset, rows)
    print(f"{dataset}, {len(chosen):,} test images, {args.neuron} neuron, {args.windows} windows, "
          f"{args.dtype}; accuracy in per cent, latency in input windows\n")  # fmt: skip
    print(conversion_table(rows), "\n")
    for row in rows:
        for n, layer in enumerate(row["audit"], start=1):
            if layer["saturations"]:
                print(f"depth {row['depth']}, layer {n}: {layer['saturations']:,} activations "
                      f"above the window of {layer['window_length']:.3g} were cut off")  # fmt: skip
    print(f"wrote {path}")


def conversion_table(rows: list[dict]) -> str:
    """Return the printed table: accuracies, drop, agreement, spikes, latency."""
    header = ("depth", "ReLU", "SNN", "drop (points)", "agree", "ReLU 1st 1000", "SNN 1st 1000",
              "spikes/neuron", "latency", "saturated")  # fmt: skip
    return text_table(header, [
        (
            str(row["depth"]),
            f"{percent(row['relu_correct'], row['n_test']):.2f}",
            f"{percent(row['snn_correct'], row['n_test']):.2f}",
            f"{percent(row['relu_correct'] - row['snn_correct'], row['n_test']):.2f}",
            f"{row['agreements']:,}/{row['n_test']:,}",
            first_1000(row, "relu"), first_1000(row, "snn"),
            f"{row['spikes_per_hidden_neuron']:.3f}",
            f"{row['latency']:.1f}",
            f"{sum(layer['saturations'] for layer in row['audit']):,}",
        ) for row in rows
    ])  # fmt: skip


def first_1000(row: dict, network: str) -> str:
    """Return a network's accuracy on the first 1,000 test images, as far as they were tested."""
    total = row["n_first_1000"]
    return f"{percent(row[f'{network}_correct_first_1000'], total):.2f}" if total else "-"


if __name__ == "__main__":
    main()
