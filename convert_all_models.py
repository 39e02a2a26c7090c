"""Convert every trained network to spikes and test both on the same images.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/conversion.json, .md       a row a depth and engine: integer counts, audit

    python convert_all_models.py                               # all 10,000 test images
    python convert_all_models.py --windows automatic           # short: few labels change
    python convert_all_models.py --windows fixed:15            # the same window everywhere
    python convert_all_models.py --engine clock:3:half-tick    # eight ticks a window
    python convert_all_models.py --engine event-driven --neuron alpha --strict

Two engines by default. event-driven integrates every membrane potential spike by spike; closed-form
takes one matrix product a layer. They share no formula, and must agree. With other settings than
these, results go to results/look/.
"""

import math
from functools import partial

from ttfs.conversion import convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.metrics import comparison, percent, percent_interval, points_lost
from ttfs.neurons import NEURONS
from ttfs.outcome import VIOLATIONS
from ttfs.simulation import ENGINES, simulator
from ttfs.stages.inputs import chosen_images, load_networks
from ttfs.stages.options import DTYPES, Parser, one_line_errors, progress, settings
from ttfs.stages.report import save_table, wrote
from ttfs.stages.results import save_results
from ttfs.stages.tables import Table, two_places
from ttfs.storage import check_writable, output_folder
from ttfs.tuning import POLICIES, window_policy


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_depths()
    option = parser.add_argument
    option("--windows", default="calibrated", metavar="POLICY", help=f"window lengths: {POLICIES}")
    option("--neuron", choices=NEURONS, default="B1", help="neuron model")
    engines = ["event-driven", "closed-form"]
    option("--engine", nargs="+", default=engines, metavar="ENGINE", help=f"simulators: {ENGINES}")
    option("--dtype", choices=DTYPES, default="float64", help="of the spiking network's simulation")
    option("--strict", action="store_true", help="exit status 1 if the audit finds any violation")
    parser.add_samples()
    parser.add_input("models")
    parser.add_output("results")
    return parser.parse_args(argv)


@one_line_errors
def main(argv=None) -> int:
    """Convert and test each depth, save and print; return 1 if strict and a layer is broken."""
    args = parse(argv)
    policy, engines = window_policy(args.windows), {name: simulator(name) for name in args.engine}
    dataset = choose_dataset(args.dataset, args.data_dir)
    check_writable(output_folder(args.results, dataset))
    networks = load_networks(args.models, dataset, args.depths)
    training, validation, test = load_dataset(dataset, args.data_dir)
    chosen = chosen_images(len(test.labels), args.samples, args.seed)
    rows = []
    with progress(None, "testing", total=len(networks) * len(engines)) as bar:
        for depth, network in networks.items():
            lengths = policy(network, training.images, validation.images)
            snn = convert(network, lengths, args.neuron)
            relu_logits = network.logits(test.images[chosen].double())
            for engine, simulate in engines.items():
                row = measured(snn, partial(simulate, snn), relu_logits, test, chosen, args.dtype)
                names = {"depth": depth, "engine": engine, "policy": args.windows}
                rows.append(names | {"windows": lengths} | row)
                bar.update()
    path = output_folder(args.results, dataset) / "conversion.json"
    written = [save_results(path, "convert_all_models.py", settings(args), dataset, rows)]
    written.append(save_table(table(rows), path))
    title = f"{dataset}, {len(chosen):,} test images, {args.neuron} neuron, {args.windows} windows"
    print(f"{title}, {args.dtype}; {table(rows)}\n\n{audit_table(rows)}\n")
    broken = [
        f"depth {row['depth']}, layer {layer['layer']}, {row['engine']}"
        for row in rows
        for layer in row["audit"]
        if any(layer[key] for key in VIOLATIONS)
    ]
    print(f"violations in: {'; '.join(broken)}" if broken else "no violation in any layer")
    print(wrote(written))
    return 1 if args.strict and broken else 0


def measured(snn, simulate, relu_logits, test, chosen, dtype: str) -> dict:
    """Return a network's row on the chosen test images: counts, spikes, logit error and audit."""
    images, labels, first = test.images[chosen], test.labels[chosen], chosen < 1000
    found = comparison(relu_logits, labels, images.to(DTYPES[dtype]), simulate)
    relu, classes = relu_logits.argmax(1), found.logits.argmax(1)
    neurons, n_test = sum(layer.neurons for layer in found.audit), len(labels)
    spikes = sum(layer.spikes for layer in found.audit), int((images > 0).sum())
    if snn.neuron.forced:  # one spike per neuron and per pixel
        spikes = neurons * n_test, images.numel()
    return found.counts | {
        "n_first_1000": int(first.sum()),
        "relu_correct_first_1000": int((relu == labels)[first].sum()),
        "snn_correct_first_1000": int((classes == labels)[first].sum()),
        "hidden_spikes": spikes[0],
        "input_spikes": spikes[1],
        "hidden_neurons": neurons,
        "spikes_per_hidden_neuron": spikes[0] / (neurons * n_test) if neurons else 0.0,
        "input_spikes_per_image": spikes[1] / n_test,
        "max_abs_logit_error": found.logit_error
        if math.isfinite(found.logit_error)
        else None,  # an overflow
        "largest_logit": found.largest_logit,
        "t_max": snn.t_max,
        "latency": snn.t_read,
        "audit": [{"layer": n, **layer.row()} for n, layer in enumerate(found.audit, start=1)],
    }


def table(rows: list[dict]) -> Table:
    """Return a line a depth and engine: accuracies, drop, agreement, spikes, latency."""
    header = ("depth", "engine", "ReLU", "spiking (95 % interval)", "drop (points)", "same label")
    header += ("first 1,000: ReLU / spiking", "spikes per neuron", "latency")
    lines = []
    for row in rows:
        n_test, first = row["n_test"], row["n_first_1000"]
        low, high = percent_interval(row["snn_correct"], n_test)
        firsts = [f"{percent(row[f'{k}_correct_first_1000'], first):.1f}" for k in ("relu", "snn")]
        cells = [
            f"{row['depth']}",
            row["engine"],
            f"{percent(row['relu_correct'], n_test):.2f} %",
            f"{percent(row['snn_correct'], n_test):.2f} % ({low:.2f} to {high:.2f})",
            two_places(points_lost(row)),
            f"{row['agreements']:,} of {n_test:,}",
            f"{' / '.join(firsts)} %" if first == 1000 else "-",
            f"{row['spikes_per_hidden_neuron']:.2f}",
            f"{row['latency']:.1f}",
        ]
        lines.append(cells)
    return Table(header, lines, 2, title="accuracy in per cent, latency in input windows")


def audit_table(rows: list[dict]) -> Table:
    """Return a line a network and layer: counts over all images, shares of neurons x images."""
    header = ("depth", "engine", "layer", "window", "used %", "dead", "silent %", "saturated")
    header += ("premature", "spurious", "missing", "overflow", "held back")
    lines = []
    for row in rows:
        for layer in row["audit"]:
            cases = layer["neurons"] * layer["images"]
            counts = [layer[key] for key in (*VIOLATIONS, "held_back")]
            cells = [
                f"{row['depth']}",
                row["engine"],
                f"{layer['layer']}",
                f"{layer['window_length']:.4g}",
                f"{100 * layer['used_fraction']:.0f}",
                f"{layer['dead_neurons']}",
                f"{100 - percent(layer['spikes'], cases):.1f}",
                *(
                    f"{count:,} ({percent(count, cases):.2g} %)" if count else "0"
                    for count in counts
                ),
            ]
            lines.append(cells)
    title = (
        "Audit of the hidden layers: counts over all images, and shares of neurons x images;\n"
        "silent: the threshold was not reached (an alpha neuron is then made to fire at t_max)"
    )
    return Table(header, lines, 2, title)


if __name__ == "__main__":
    raise SystemExit(main())
