"""Train the ReLU networks that the other scripts convert.

Reads   MNIST (or scikit-learn's digits)
Writes  models/mnist_{2,4,6,8}_layer.pkl   weights, biases, settings, history
        models/mnist_lenet.pkl             with --network lenet
        results/training.json, .md         epochs, accuracies and seconds

    python train_mnist_pytorch.py
    python train_mnist_pytorch.py --depths 2 --epochs 1        # a look: into models/look/
    python train_mnist_pytorch.py --network lenet --augment    # convolutional, on distorted images
    python train_mnist_pytorch.py --from models --ticks 2 --weight-bits 4 --sparsity 0.5
    python train_mnist_pytorch.py --normalise --pixel-noise 0.3 --sparsity 8 --depths 2 --epochs 30

Networks of 784-400-...-400-10 units: Xavier-uniform weights, zero biases, cross-entropy, Adam,
StepLR(10 epochs, 0.5). Training stops when the validation accuracy reaches the target; test images
are used once, after training, to report. One seed gives the same bytes on the same kind of
processor, with the same number of threads.

With any of the options from --from on, networks are trained in the time domain: through the spikes
of hardware with such a clock, such weights and such noise, for a fixed number of epochs, in one
cycle of the learning rate. Their accuracies are with one draw of that noise. Their files say what
they were trained for, and convert_all_models.py then converts them for it, without noise.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out

from ttfs.stages.ending import one_line_errors  # isort: split

import contextlib
import itertools
import math
import time
from dataclasses import asdict

import torch

from ttfs import InputError, lenet
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.metrics import percent
from ttfs.stages.inputs import load_networks, load_trained
from ttfs.stages.options import Parser, device_of, positive, progress, whole
from ttfs.stages.report import save_rows, written_files
from ttfs.stages.results import versions
from ttfs.stages.tables import Table
from ttfs.stages.time_options import add_time_options, chosen_pass, in_time, time_settings
from ttfs.storage import check_writable, model_path, output_folder, save_network
from ttfs.training import (
    SETTINGS,
    TARGETS,
    TIME_SETTINGS,
    architecture,
    initial_network,
    n_correct,
    train,
    without_subnormals,
)
from ttfs.writing import alone

MOST_WEIGHTS = 10**9  # of a network: 4 GB, and three times as much for what Adam keeps of each


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add("dataset", "network", "data-dir", "depths", "device")
    parser.add("seed", help="of initial weights and image order")
    option = parser.add_argument
    option("--width", type=whole(1, 10_000), default=400, help="neurons per hidden layer")
    for key, kind, what in (
        ("epochs", whole(1, 10_000), "epochs at most"),
        ("batch_size", whole(1, 100_000), "images per step"),
        ("learning_rate", positive(), "Adam's"),
    ):
        values = f"(None: {SETTINGS[key]}, lenet {lenet.SETTINGS[key]}, "
        values += f"or {TIME_SETTINGS[key]} in the time domain)"
        option(f"--{key.replace('_', '-')}", type=kind, help=f"{what} {values}")
    targets = ", ".join(f"{target} on {dataset}" for dataset, target in TARGETS.items())
    stop = f"validation accuracy to stop at, per cent (None: {targets})"
    option("--target", type=positive(100), help=stop)
    option("--threads", type=whole(1, 1024), default=2, help="CPU threads: their number has a say")
    option("--augment", action="store_true", help="distort training images, at random")
    add_time_options(parser)
    parser.add_outputs("models", "results")
    args = parser.parse_args(argv)
    if in_time(args) and args.target:
        parser.error("--target stops training as ReLU; in the time domain, --epochs says how long")
    is_lenet = args.network == "lenet"
    if is_lenet and (args.target or args.normalise or (in_time(args) and not args.start)):
        parser.error("lenet learns for --epochs, as ReLU first, and in the time domain --from that")
    if is_lenet and args.width != parser.get_default("width"):
        parser.error("--width is of fully connected networks: lenet has its own")
    if args.start and args.width != parser.get_default("width"):
        parser.error("--width is of networks that are drawn: those of --from have theirs")
    chosen = not is_lenet and args.depths is not parser.get_default("depths")
    if args.start and args.start.is_file() and chosen:
        parser.error(f"--depths chooses from a folder: {args.start} is a file")
    if not is_lenet and not args.start:
        sizes = architecture(max(args.depths), args.width)
        n_weights = sum(map(math.prod, itertools.pairwise(sizes)))
        if n_weights > MOST_WEIGHTS:
            what = f"{max(args.depths)} layers of {args.width:,} neurons have {n_weights:,} weights"
            parser.error(f"{what}, more than {MOST_WEIGHTS:,}: choose smaller --depths or --width")
    usual = lenet.SETTINGS if is_lenet else SETTINGS
    for key, value in (TIME_SETTINGS if in_time(args) else usual).items():
        if getattr(args, key) is None:
            setattr(args, key, value)
    return args


@one_line_errors
@without_subnormals()
def main(argv=None) -> None:
    """Train one network a depth; save each, and the results so far, as soon as it is trained."""
    args = parse(argv)
    check_writable(args.models)
    torch.set_num_threads(args.threads)
    dataset = choose_dataset(args.dataset, args.data_dir)
    results = output_folder(args.results, dataset, args.network)
    check_writable(results)
    starts = starting_networks(args, dataset)
    written = [model_path(args.models, dataset, depth, args.network) for depth in starts]
    splits = load_dataset(dataset, args.data_dir)
    if not in_time(args) and args.network == "mlp":
        args.target = args.target or TARGETS[dataset]
    script, rows = "train_mnist_pytorch.py", []
    with contextlib.ExitStack() as locks:
        for path in (*written, results / "training.json"):
            locks.enter_context(alone(path))
        for start, path in zip(starts.values(), written, strict=True):
            network, record, row = train_one(args, dataset, start, *splits)
            save_network(path, network, **record)
            rows.append(row)
            tables = save_rows(args, script, "training", dataset, rows, table(rows))
    written += tables
    print(f"{dataset}: {table(rows)}\n\n{written_files(written)}")


def starting_networks(args, dataset: str) -> dict:
    """Return what to train by depth: networks of --from, or the sizes of those to be drawn."""
    if args.start is None and args.network == "lenet":
        return {lenet.DEPTH: lenet.lenet}
    if args.start is None:
        return {depth: architecture(depth, args.width) for depth in args.depths}
    if args.start.is_dir():
        return load_networks(args.start, dataset, args.depths, args.network)
    network = load_trained(args.start, dataset).network
    if network.is_fully_connected == (args.network == "lenet"):
        kind = "mlp" if network.is_fully_connected else "lenet"
        raise InputError(f"{args.start} holds another kind of network: use --network {kind}")
    return {network.depth: network}


def train_one(args, dataset: str, start, training, validation, test) -> tuple:
    """Return a trained network, what its file keeps beside the weights, and its row of results."""
    started, generator = time.perf_counter(), torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)  # of what torch itself draws: lenet, dropout, distortions
    if start is lenet.lenet:
        through = lenet.AsModel(start())
        start = through.delivered()
    else:
        start = initial_network(start, generator) if isinstance(start, list) else start
        through = chosen_pass(args, start, training, validation, generator)
    own = {key: getattr(args, key) for key in (*SETTINGS, "target")}
    with progress(None, f"{start.depth} layers", total=args.epochs, unit="epoch") as bar:

        def after_epoch(accuracy: float) -> None:
            bar.set_postfix_str(f"validation {accuracy:.2f} %")
            bar.update()

        where = {"device": device_of(args), "after_epoch": after_epoch, "generator": generator}
        if args.augment:
            where["augmented"] = lenet.augmented(dataset)
        found = train(start, training, validation, **own, **where, through=through)
    correct = n_correct(through, found.network, found.windows, test)
    record = {
        "accuracy": percent(correct, len(test.labels)),
        "seed": args.seed,
        "settings": own | {"augment": args.augment},
        "dataset": dataset,
        "validation_correct": found.history,
        "device": device_of(args),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    if in_time(args):
        record["settings"] |= time_settings(args)
        record["settings"]["fine_tuned"] = args.start is not None
        record |= {"windows": found.windows, "trained_for": asdict(through.hardware)}
    row = {
        "depth": start.depth,
        "architecture": start.architecture,
        "epochs": len(found.history),
        "n_validation": len(validation.labels),
        "validation_correct": found.correct,
        "n_test": len(test.labels),
        "test_correct": correct,
        "seconds": round(time.perf_counter() - started, 1),
    }
    return found.network, record, row


def table(rows: list[dict]) -> Table:
    """Return a line per depth: the network, how long it took and how good it became."""
    columns = {
        "depth": "{depth}",
        "network": lambda row: "-".join(map(str, row["architecture"])),
        "epochs": "{epochs}",
        "validation": lambda row: (
            f"{percent(row['validation_correct'], row['n_validation']):.2f} %"
        ),
        "test": lambda row: f"{percent(row['test_correct'], row['n_test']):.2f} %",
        "seconds": "{seconds:.0f}",
    }
    return Table.of(rows, columns, 0, "accuracy in per cent")


if __name__ == "__main__":
    main()
