"""Check that spikes carry the ReLU network's activations to within rounding; fail if they do not.

Reads   models/mnist_{2,4,6,8}_layer.pkl   (from train_mnist_pytorch.py), MNIST
Writes  results/exactness.json             a row a depth, dtype, time convention and layer

    python numerical_exactness_test.py                         # all 10,000 images, about a minute
    python numerical_exactness_test.py --depths 2 --samples 200 --results /tmp/look

Compares the spiking network with the float64 ReLU network, layer by layer, in float64 and float32,
with spikes handed on in window-relative and in absolute time. Three verdicts, each of which sets
exit status 1 when it fails: every error lies under its derived bound (ttfs/exactness.py), every
prediction agrees, and logits are within 1e-12 (float64) or 1e-5 (float32) of the largest logit.
"""

from ttfs import command_line, windows
from ttfs.command_line import DTYPES, Parser, text_table
from ttfs.conversion import NEURONS, convert
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.exactness import layer_errors, ulp
from ttfs.metrics import batches
from ttfs.results import save_results
from ttfs.simulation import closed_form
from ttfs.storage import check_writable, output_folder

LOGIT_LIMIT = {"float64": 1e-12, "float32": 1e-5}  # largest logit error / largest logit


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_depths()
    parser.add_argument("--neuron", choices=NEURONS, default="B1", help="neuron model")
    parser.add_argument(
        "--dtypes", choices=LOGIT_LIMIT, nargs="+", default=list(LOGIT_LIMIT), help="precisions"
    )
    parser.add_samples()
    parser.add_folder("models", "where the trained networks are")
    parser.add_folder("results", "where exactness.json goes")
    return parser.parse_args(argv)


def layer_rows(network, snn, test_batches, dtype: str, time: str) -> list[dict]:
    """Return a row a layer, the output last: errors, bounds and agreeing predictions."""
    layers, agreements, n_test = [], 0, 0
    for images, _, _ in test_batches:
        simulation = closed_form(snn, images.to(DTYPES[dtype]), time)
        relu = network.logits(images.double()).argmax(1)
        agreements += int((simulation.predictions == relu).sum())
        n_test += len(images)
        layers.append([
            {
                "largest_error": e.error.max().item(),
                "largest_bound": e.bound.max().item(),
                "largest_local_error": e.local_error.max().item(),
                "largest_local_bound": e.local_bound.max().item(),
                "largest_activation": e.largest_activation,
                "broken": int(((e.error > e.bound) | (e.local_error > e.local_bound)).sum()),
            }
            for e in layer_errors(network, snn, images, simulation, time)
        ])  # fmt: skip
    rows = []
    for n, parts in enumerate(zip(*layers, strict=True)):
        row = {key: max(part[key] for part in parts) for key in parts[0]}
        row["broken"] = sum(part["broken"] for part in parts)
        output = n == len(snn.hidden)
        largest = row["largest_activation"]
        scale = largest if output or time == "window" else snn.hidden[n].t_max
        row["ulp"] = ulp(scale, DTYPES[dtype])
        row["error_ulp"] = row["largest_error"] / row["ulp"]
        row["relative_error"] = row["largest_error"] / largest if largest else 0.0
        rows.append({"layer": n + 1, "output": output, **row})
    rows[-1] |= {"agreements": agreements, "n_test": n_test}
    return rows


def verdict(rows: list[dict]) -> list[str]:
    """Return what failed, a line each; empty if the conversion is exact to within rounding."""
    faults = []
    for row in rows:
        where = f"depth {row['depth']}, layer {row['layer']}, {row['dtype']}, {row['time']} time"
        if row["broken"]:
            faults.append(f"{where}: {row['broken']:,} errors above their bound")
        if row["output"] and row["agreements"] != row["n_test"]:
            faults.append(f"{where}: {row['n_test'] - row['agreements']} predictions differ")
        if row["output"] and not row["relative_error"] <= LOGIT_LIMIT[row["dtype"]]:
            faults.append(f"{where}: logits off by {row['relative_error']:.1e} of the largest")
    return faults


@command_line.one_line_errors
def main(argv=None) -> int:
    """Measure, print, save; return 1 if a verdict fails."""
    args = parse(argv)
    check_writable(args.results)
    dataset = choose_dataset(args.dataset, args.data_dir)
    networks = command_line.load_networks(args.models, dataset, args.depths)
    training, _, test = load_dataset(dataset, args.data_dir)
    chosen = command_line.chosen_images(len(test.labels), args.samples, args.seed)
    rows = []
    for depth, network in networks.items():
        snn = convert(network, windows.calibrated(network, training.images), args.neuron)
        for dtype in args.dtypes:
            for time in ("window", "absolute"):
                parts = batches(*test, chosen)
                bar = command_line.progress(parts, f"{depth} layers, {dtype}, {time} time")
                setting = {"depth": depth, "dtype": dtype, "time": time}
                rows += [setting | row for row in layer_rows(network, snn, bar, dtype, time)]
    path = output_folder(args.results, dataset) / "exactness.json"
    save_results(path, "numerical_exactness_test.py", args, dataset, rows)
    print(f"{dataset}, {len(chosen):,} test images, {args.neuron} neuron\n")
    print("One layer: decoded spike times of the first hidden layer beside ReLU's activations\n")
    print(exactness_table(row for row in rows if row["layer"] == 1 and not row["output"]), "\n")
    print("Whole networks: logits\n")
    print(exactness_table(row for row in rows if row["output"]), "\n")
    faults = verdict(rows)
    print("\n".join(faults) or "exact: every error under its bound, every prediction equal")
    print(f"wrote {path}")
    return 1 if faults else 0


def exactness_table(rows) -> str:
    """Return the printed table: errors in units, relative and in ulps, beside the bounds."""
    header = ("depth", "dtype", "time", "largest error", "relative", "ulps", "local error / bound",
              "error / bound", "agree")  # fmt: skip
    return text_table(header, [
        (
            str(row["depth"]), row["dtype"], row["time"],
            f"{row['largest_error']:.2e}", f"{row['relative_error']:.2e}",
            f"{row['error_ulp']:.1f}",
            f"{row['largest_local_error']:.0e} / {row['largest_local_bound']:.0e}",
            f"{row['largest_error']:.0e} / {row['largest_bound']:.0e}",
            f"{row['agreements']:,}/{row['n_test']:,}" if row["output"] else "",
        ) for row in rows
    ])  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
