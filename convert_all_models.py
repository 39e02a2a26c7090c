"""Convert every trained network to spikes and test both on the same images.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/conversion.json            a row a depth: integer counts, windows, audit

    python convert_all_models.py                               # all 10,000 test images
    python convert_all_models.py --depths 2 --samples 200 --results /tmp/look
    python convert_all_models.py --windows auto                # short: few labels change
    python convert_all_models.py --windows fixed --t-max 15    # the same window everywhere
    python convert_all_models.py --engine event-driven --strict    # spike by spike
"""

from ttfs import command_line, stages, windows
from ttfs.audit import VIOLATIONS
from ttfs.command_line import DTYPES, Parser, positive, text_table
from ttfs.conversion import NEURONS, convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.metrics import batches, compare, percent
from ttfs.results import save_results
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.storage import check_writable, output_folder
from ttfs.tuning import automatic

NEEDED = {  # what an option needs to have an effect
    "margin": ("windows", "calibrated"), "quantile": ("windows", "quantile"),
    "t_max": ("windows", "fixed"), "bits": ("engine", "clock-driven"),
    "half_tick": ("engine", "clock-driven"), "no_guard": ("neuron", "alpha"),
}  # fmt: skip


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_depths()
    parser.add_argument(
        "--windows", choices=("calibrated", "quantile", "auto", "fixed"), default="calibrated",
        help="window lengths: (1 + margin) x the largest training activation of each layer; "
        "the quantile of its training spikes; the smallest quantile that changes no significant "
        "number of validation labels; or t-max everywhere",
    )  # fmt: skip
    parser.add_argument("--margin", type=float, default=0.5, help="of calibrated windows")
    parser.add_argument("--quantile", type=float, default=0.999, help="of quantile windows")
    parser.add_argument(
        "--t-max", type=positive(1e6), default=15.0, help="length of fixed windows, model time"
    )
    parser.add_argument("--neuron", choices=NEURONS, default="B1", help="neuron model")
    parser.add_argument(
        "--engine", choices=("closed-form", "event-driven", "clock-driven"), default="closed-form",
        help="simulator: one matrix product a layer; potentials integrated spike by spike; or a "
        "clock of 2^bits ticks a window",
    )  # fmt: skip
    parser.add_argument(
        "--no-guard", action="store_true", help="alpha, event-driven: let neurons fire before t_min"
    )
    parser.add_argument("--bits", type=int, default=8, help="of the clock")
    parser.add_argument(
        "--half-tick", action="store_true", help="clock-driven: thresholds half a tick lower"
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float64", help="of the spiking network's simulation"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit status 1 if the audit finds any violation"
    )
    parser.add_samples()
    parser.add_folder("models", "where the trained networks are")
    parser.add_folder("results", "where conversion.json goes")
    args = parser.parse_args(argv)
    for option, (other, value) in NEEDED.items():
        if getattr(args, option) != parser.get_default(option) and getattr(args, other) != value:
            parser.error(f"--{option.replace('_', '-')} needs --{other} {value}")
    if args.no_guard and args.engine != "event-driven":
        parser.error("--no-guard needs --engine event-driven")
    return args


def window_lengths(args, network, training_images, validation_images) -> list[float]:
    """Return the window lengths that the command line asks for."""
    if args.windows == "auto":
        return automatic(network, training_images, validation_images)[1]
    if args.windows == "fixed":
        return windows.fixed(network, args.t_max)
    if args.windows == "quantile":
        return windows.quantile(network, training_images, args.quantile)
    return windows.calibrated(network, training_images, args.margin)


def simulator(args, snn):
    """Return the function from images to a Simulation that the command line asks for."""
    dtype = DTYPES[args.dtype]
    if args.engine == "event-driven":
        return lambda images: event_driven(snn, images.to(dtype), guard=not args.no_guard)
    if args.engine == "clock-driven":
        return lambda images: clock_driven(snn, images.to(dtype), args.bits, args.half_tick)
    return lambda images: closed_form(snn, images.to(dtype))


@command_line.one_line_errors
def main(argv=None) -> int:
    """Convert and test each depth, save and print; return 1 if strict and a layer is broken."""
    args = parse(argv)
    dataset = choose_dataset(args.dataset, args.data_dir)
    check_writable(output_folder(args.results, dataset))
    networks = stages.load_networks(args.models, dataset, args.depths)
    training, validation, test = load_dataset(dataset, args.data_dir)
    chosen = stages.chosen_images(len(test.labels), args.samples, args.seed)
    rows = []
    for depth, network in networks.items():
        lengths = window_lengths(args, network, training.images, validation.images)
        snn = convert(network, lengths, args.neuron)
        test_batches = command_line.progress(batches(*test, chosen), f"{depth} layers")
        counts = compare(network, snn, test_batches, simulator(args, snn))
        rows.append({"depth": depth, **counts})
    path = output_folder(args.results, dataset) / "conversion.json"
    save_results(path, "convert_all_models.py", args, dataset, rows)
    print(f"{dataset}, {len(chosen):,} test images, {args.neuron} neuron, {args.windows} windows, "
          f"{args.engine}, {args.dtype}")  # fmt: skip
    print("accuracy in per cent, latency in input windows\n")
    print(conversion_table(rows))
    print("\nAudit of the hidden layers: counts over all images, and shares of neurons x images;")
    print("silent: the threshold was not reached (an alpha neuron is then made to fire at t_max)\n")
    print(audit_table(rows) + "\n")
    broken = [
        f"depth {row['depth']}, layer {layer['layer']}"
        for row in rows for layer in row["audit"] if any(layer[key] for key in VIOLATIONS)
    ]  # fmt: skip
    print(f"violations in: {'; '.join(broken)}" if broken else "no violation in any layer")
    print(stages.wrote([path]))
    return 1 if args.strict and broken else 0


def conversion_table(rows: list[dict]) -> str:
    """Return the printed table: accuracies, drop, agreement, spikes, latency."""
    header = ("depth", "ReLU", "SNN", "drop (points)", "agree", "ReLU 1st 1000", "SNN 1st 1000",
              "spikes/neuron", "latency")  # fmt: skip
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
        ) for row in rows
    ])  # fmt: skip


def audit_table(rows: list[dict]) -> str:
    """Return the printed audit, a line a depth and layer."""
    header = ("depth", "layer", "window", "used %", "dead", "silent %", "saturated", "premature",
              "spurious", "missing", "overflow", "held back")  # fmt: skip
    return text_table(header, [
        (
            str(row["depth"]), str(layer["layer"]), f"{layer['window_length']:.4g}",
            f"{100 * layer['used_fraction']:.0f}", str(layer["dead_neurons"]),
            f"{100 - percent(layer['spikes'], layer['neurons'] * layer['images']):.1f}",
            *(count_and_share(layer, key) for key in (*VIOLATIONS, "held_back")),
        ) for row in rows for layer in row["audit"]
    ])  # fmt: skip


def count_and_share(layer: dict, key: str) -> str:
    """Return a count with its share of all neurons and images, or 0."""
    share = percent(layer[key], layer["neurons"] * layer["images"])
    return f"{layer[key]:,} ({share:.2g} %)" if layer[key] else "0"


def first_1000(row: dict, network: str) -> str:
    """Return a network's accuracy on the first 1,000 test images, if all were tested."""
    total = row["n_first_1000"]
    return f"{percent(row[f'{network}_correct_first_1000'], total):.2f}" if total == 1000 else "-"


if __name__ == "__main__":
    raise SystemExit(main())
