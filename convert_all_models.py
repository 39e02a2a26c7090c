"""Convert every trained network to spikes and test both on the same images.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/conversion.json, .md       a row per depth and engine: integer counts, audit
        results/look/spikes_*.npz, .csv    with --spikes: all spikes, per depth and engine

    python convert_all_models.py                               # all 10,000 test images
    python convert_all_models.py --windows automatic           # short: few labels change
    python convert_all_models.py --windows fixed:15            # the same window everywhere
    python convert_all_models.py --engine clock:3:half-tick    # eight ticks per window
    python convert_all_models.py --engine event-driven --neuron alpha --strict
    python convert_all_models.py --spikes 5                    # and the spike times of five images

A model that was trained in the time domain is converted for what it was trained for: its own
windows and its clock. For the others there are two engines: event-driven integrates every membrane
potential spike by spike; closed-form takes one matrix product per layer. They share no formula, and
must agree. With other settings than these, results go to results/look/.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out

from ttfs.stages.ending import one_line_errors  # isort: split

import math
from functools import partial

from ttfs.conversion import convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.export import save_spikes
from ttfs.hardware import Hardware
from ttfs.metrics import comparison, percent, points_lost
from ttfs.neurons import NEURONS
from ttfs.outcome import VIOLATIONS
from ttfs.simulation import ENGINE_WORDS, simulator
from ttfs.stages.inputs import image_places, load_models
from ttfs.stages.options import DTYPES, Parser, device_of, progress, whole
from ttfs.stages.report import save_rows, written_files
from ttfs.stages.results import grouped
from ttfs.stages.tables import Table, accuracy_and_interval, two_places
from ttfs.storage import check_writable, output_folder
from ttfs.tuning import POLICY_WORDS, window_policy

ENGINES = ("event-driven", "closed-form")


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add("dataset", "network", "data-dir", "depths", "samples", "seed", "device")
    option = parser.add_argument
    policy, engine = f"window lengths: {POLICY_WORDS}", f"simulators: {ENGINE_WORDS}"
    own = "(None: as the model was trained, else {})".format
    option("--windows", metavar="POLICY", help=f"{policy} {own('calibrated')}")
    option("--neuron", choices=NEURONS, default="B1", help="neuron model")
    option("--engine", nargs="+", metavar="ENGINE", help=f"{engine} {own(' and '.join(ENGINES))}")
    option("--dtype", choices=DTYPES, default="float64", help="of the spiking network's simulation")
    option("--spikes", type=whole(1), metavar="N", help="export all spikes of the first N images")
    option("--strict", action="store_true", help="exit status 1 if the audit finds any violation")
    parser.add_inputs("models")
    parser.add_outputs("results")
    args = parser.parse_args(argv)
    if args.seed and args.samples is None:
        parser.error("--seed draws the images of --samples: alone it has no effect")
    return args


@one_line_errors
def main(argv=None) -> int:
    """Convert and test each depth, save and print; return 1 if strict and a layer is broken."""
    args = parse(argv)
    policy = window_policy(args.windows or "calibrated")
    asked = {name: simulator(name) for name in args.engine or ()}
    dataset = choose_dataset(args.dataset, args.data_dir)
    folder = output_folder(args.results, dataset, args.network)
    check_writable(folder)
    models = load_models(args.models, dataset, args.depths, args.network)
    training, validation, test = load_dataset(dataset, args.data_dir)
    places = image_places(len(test.labels), args.samples, args.seed)
    rows, exported, where = [], [], (args.dtype, device_of(args))
    with progress(None, "testing", total=len(models)) as bar:
        for depth, (network, trained_in, hardware, _) in models.items():
            own = trained_in is not None and args.windows is None
            lengths = trained_in if own else policy(network, training.images, validation.images)
            names = {"depth": depth, "policy": "trained" if own else args.windows or "calibrated"}
            snn = convert(network, lengths, args.neuron)
            relu_logits = network.logits(test.images[places].double())
            for engine, simulate in (asked or engines_of(hardware)).items():
                row = row_of(snn, partial(simulate, snn), relu_logits, test, places, *where)
                rows.append(names | {"engine": engine, "windows": lengths} | row)
                if args.spikes is not None:
                    first = places[: args.spikes]
                    found = simulate(snn, test.images[first].to(DTYPES[args.dtype]))
                    name = f"spikes_{depth}_layer_{engine.replace(':', '_')}"
                    exported += save_spikes(folder / name, found, first, snn.neuron.forced)
            bar.update()
    script = "convert_all_models.py"
    written = save_rows(args, script, "conversion", dataset, rows, table(rows))
    policies = " and ".join(grouped(rows, "policy"))
    title = f"{dataset}, {len(places):,} test images, {args.neuron} neuron, {policies} windows"
    print(f"{title}, {args.dtype}; {table(rows)}\n\n{audit_table(rows)}\n")
    broken = [
        f"depth {row['depth']}, layer {layer['layer']}, {row['engine']}"
        for row in rows
        for layer in row["audit"]
        if any(layer[key] for key in VIOLATIONS)
    ]
    print(f"violations in: {'; '.join(broken)}" if broken else "no violation in any layer")
    print(written_files(written + exported))
    return 1 if args.strict and broken else 0


def engines_of(hardware: Hardware) -> dict:
    """Return the simulators of a network that was trained for this hardware, by name."""
    names = ENGINES if hardware.ticks is None else [hardware.engine]
    return {name: simulator(name) for name in names}


def row_of(snn, simulate, relu_logits, test, places, dtype: str, device: str = "cpu") -> dict:
    """Return a network's row on the chosen test images: counts, spikes, logit error and audit."""
    images, labels, first = test.images[places], test.labels[places], places < 1000
    images = images.to(DTYPES[dtype])
    found = comparison(relu_logits, labels, images, simulate, device)
    relu, classes, error = relu_logits.argmax(1), found.logits.argmax(1), found.logit_error
    neurons, n_test = sum(layer.neurons for layer in found.audit), len(labels)
    spikes = sum(layer.spikes for layer in found.audit), found.input_spikes
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
        "max_abs_logit_error": error if math.isfinite(error) else None,  # None: an overflow
        "largest_logit": found.largest_logit,
        "t_max": snn.t_max,
        "latency": snn.t_read,
        "audit": [{"layer": n, **layer.row()} for n, layer in enumerate(found.audit, start=1)],
    }


def table(rows: list[dict]) -> Table:
    """Return a line per depth and engine: accuracies, drop, agreement, spikes, latency."""
    columns = {
        "depth": "{depth}",
        "engine": "{engine}",
        "ReLU": lambda row: f"{percent(row['relu_correct'], row['n_test']):.2f} %",
        "spiking (95 % interval)": accuracy_and_interval,
        "drop (points)": lambda row: two_places(points_lost(row)),
        "same label": "{agreements:,} of {n_test:,}",
        "first 1,000: ReLU / spiking": accuracies_of_first_1000,
        "spikes per neuron": "{spikes_per_hidden_neuron:.2f}",
        "latency": "{latency:.1f}",
    }
    return Table.of(rows, columns, 2, "accuracy in per cent, latency in input windows")


def accuracies_of_first_1000(row: dict) -> str:
    """Return both accuracies on the first 1,000 test images, if all were tested."""
    if row["n_first_1000"] < 1000:
        return "-"
    correct = (row[f"{network}_correct_first_1000"] for network in ("relu", "snn"))
    return " / ".join(f"{percent(count, 1000):.1f}" for count in correct) + " %"


def audit_table(rows: list[dict]) -> Table:
    """Return a line per network and layer: counts over all images, shares of neurons x images."""

    def share(key: str):
        def cell(layer: dict) -> str:
            if layer[key] is None:
                return "-"
            part = percent(layer[key], layer["neurons"] * layer["images"])
            return f"{layer[key]:,} ({part:.2g} %)" if layer[key] else "0"

        return cell

    columns = {
        "depth": "{depth}",
        "engine": "{engine}",
        "layer": "{layer}",
        "window": "{window_length:.4g}",
        "used %": lambda layer: f"{100 * layer['used_fraction']:.0f}",
        "dead": "{dead_neurons}",
        "silent %": lambda layer: (
            f"{100 - percent(layer['spikes'], layer['neurons'] * layer['images']):.1f}"
        ),
    }
    columns |= {key.replace("_", " "): share(key) for key in (*VIOLATIONS, "held_back")}
    layers = [row | layer for row in rows for layer in row["audit"]]
    title = (
        "Audit of the hidden layers: counts over all images, and shares of neurons x images;\n"
        "silent: the threshold was not reached (an alpha neuron is then made to fire at t_max)"
    )
    return Table.of(layers, columns, 2, title)


if __name__ == "__main__":
    raise SystemExit(main())
