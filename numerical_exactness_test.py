"""Certify that spikes carry the ReLU network's activations to within rounding; fail if not.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/exactness.json             a row a depth, dtype, engine and layer

    python numerical_exactness_test.py                         # all 10,000 test images
    python numerical_exactness_test.py --depths 2 --samples 200 --results /tmp/look

Compares the spiking network with the float64 ReLU network, layer by layer, in four precisions and
three ways: the closed form in window-relative time, in absolute time, and the event-driven
simulator. Exit status 1 if an error exceeds its derived bound (ttfs/exactness.py), or if, in
float64 or float32, a label differs or a logit is off by more than LOGIT_LIMIT of the largest.
"""

import math

import torch

from ttfs import command_line, stages, windows
from ttfs.command_line import DTYPES, Parser, text_table, whole
from ttfs.conversion import NEURONS, convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.exactness import ENGINES, layer_errors, ulp
from ttfs.metrics import batches
from ttfs.network import random_network
from ttfs.results import save_results
from ttfs.simulation import closed_form, event_driven
from ttfs.storage import check_writable, output_folder
from ttfs.training import architecture

LOGIT_LIMIT = {  # largest logit error / largest logit
    ("float64", "window"): 1e-12, ("float64", "absolute"): 1e-11, ("float64", "events"): 1e-11,
    ("float32", "window"): 1e-5, ("float32", "absolute"): 1e-5, ("float32", "events"): 1e-5,
}  # fmt: skip


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


def simulate(snn, images, engine: str):
    """Return the Simulation of a batch by one of the engines."""
    return event_driven(snn, images) if engine == "events" else closed_form(snn, images, engine)


def layer_rows(network, snn, test_batches, dtype: str, engine: str) -> list[dict]:
    """Return a row a layer, the output last: errors, bounds and agreeing predictions."""
    layers, agreements, n_test = [], 0, 0
    for images, _, _ in test_batches:
        simulation = simulate(snn, images.to(DTYPES[dtype]), engine)
        relu = network.logits(images.double()).argmax(1)
        agreements += int((simulation.predictions == relu).sum())
        n_test += len(images)
        errors = layer_errors(network, snn, images, simulation, engine)
        layers.append([summary(e) for e in errors])
    rows = []
    for n, parts in enumerate(zip(*layers, strict=True)):
        output = n == len(snn.hidden)
        row = merged(parts)
        # A decoded spike time is only as fine as the times that it was computed from.
        times = {"window": row["largest_activation"], "absolute": None, "events": None}
        if not output:
            times |= {"absolute": snn.hidden[n].t_max, "events": snn.hidden[n].window_length}
        row["ulp"] = ulp(times[engine] or row["largest_activation"] or 1.0, DTYPES[dtype])
        row["error_ulp"] = row["largest_error"] / row["ulp"]
        # No bound exists for long sums in a low precision, and an error that overflowed is none.
        row = {key: value if math.isfinite(value) else None for key, value in row.items()}
        rows.append({"layer": n + 1, "output": output, **row})
    rows[-1] |= {"agreements": agreements, "n_test": n_test}
    return rows


def summary(layer) -> dict:
    """Return one batch's largest errors and bounds, and how many errors exceed theirs."""
    within = (layer.error <= layer.bound) & (layer.local_error <= layer.local_bound)
    return {
        "errors": layer.error.flatten().float(),
        "broken": int((~within).sum()),
        "largest_activation": layer.largest_activation,
        "largest_error": layer.error.max().item(),
        "bound": layer.bound.max().item(),
        "local_error": layer.local_error.max().item(),
        "local_bound": layer.local_bound.max().item(),
    }


def merged(parts) -> dict:
    """Return the largest and the 99.9 % quantile errors of a layer over all batches."""
    errors = torch.cat([part["errors"] for part in parts])
    quantile = errors.kthvalue(max(1, int(0.999 * len(errors)))).values.item()
    row = {key: max(part[key] for part in parts) for key in parts[0] if key != "errors"}
    row["broken"] = sum(part["broken"] for part in parts)
    relative = (
        row["largest_error"] / row["largest_activation"] if row["largest_activation"] else 0.0
    )
    return row | {"error_99.9_percent": quantile, "relative_error": relative}


def verdict(rows: list[dict]) -> list[str]:
    """Return what failed, a line each; empty if the conversion is exact to within rounding."""
    faults = []
    for row in rows:
        where = f"depth {row['depth']}, layer {row['layer']}, {row['dtype']}, {row['engine']}"
        limit = LOGIT_LIMIT.get((row["dtype"], row["engine"]))
        if row["broken"]:
            faults.append(f"{where}: {row['broken']:,} errors above their bound")
        if row["output"] and limit and row["agreements"] != row["n_test"]:
            faults.append(f"{where}: {row['n_test'] - row['agreements']} predictions differ")
        error = row["relative_error"]
        if row["output"] and limit and (error is None or error > limit):
            faults.append(f"{where}: logits off by {scientific(error)} of the largest")
    return faults


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
    for depth, network in networks.items():
        snn = convert(network, windows.calibrated(network, training.images), args.neuron)
        for dtype in args.dtypes:
            for engine in args.engines:
                parts = batches(*test, chosen)
                bar = command_line.progress(parts, f"{depth} layers, {dtype}, {engine}")
                setting = {"depth": depth, "trained": True, "dtype": dtype, "engine": engine}
                rows += [setting | row for row in layer_rows(network, snn, bar, dtype, engine)]
    for depth in args.random_depths:
        network = random_network(architecture(depth, 400), args.seed)
        snn = convert(network, windows.calibrated(network, training.images), args.neuron)
        for dtype in ("float64", "float32"):
            parts = batches(*test, chosen)
            bar = command_line.progress(parts, f"{depth} random layers, {dtype}")
            setting = {"depth": depth, "trained": False, "dtype": dtype, "engine": "window"}
            rows += [setting | row for row in layer_rows(network, snn, bar, dtype, "window")]
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


def exactness_table(rows) -> str:
    """Return the printed table: errors in units, relative and in ulps, beside the bounds."""
    header = ("depth", "dtype", "engine", "99.9 % error", "largest", "relative", "ulps", "bound",
              "local error", "local bound", "agree")  # fmt: skip
    return text_table(header, [
        (
            str(row["depth"]) if row["trained"] else f"{row['depth']} (random)",
            row["dtype"], row["engine"],
            *(scientific(row[key]) for key in ("error_99.9_percent", "largest_error",
              "relative_error", "error_ulp", "bound", "local_error", "local_bound")),
            f"{row['agreements']:,}/{row['n_test']:,}" if row["output"] else "-",
        ) for row in rows
    ])  # fmt: skip


def scientific(value: float | None) -> str:
    """Return a number with two digits, or what stands for one that is not finite."""
    return "none" if value is None else f"{value:.1e}"


if __name__ == "__main__":
    raise SystemExit(main())
