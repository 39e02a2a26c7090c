"""Train the ReLU networks that the other scripts convert.

Reads   MNIST (or scikit-learn's digits)
Writes  models/mnist_{2,4,6,8}_layer.pkl   weights, biases, settings, history
        results/training.json, .md         epochs, accuracies and seconds

    python train_mnist_pytorch.py
    python train_mnist_pytorch.py --depths 2 --epochs 1        # a look: into models/look/

Networks of 784-400-...-400-10 units: Xavier-uniform weights, zero biases, cross-entropy, Adam,
StepLR(10 epochs, 0.5). Training stops when the validation accuracy reaches the target; test images
are used once, after training, to report. One seed gives the same bytes on the same kind of
processor, with the same number of threads.
"""

import time

import torch

from ttfs.datasets import choose_dataset, load_dataset
from ttfs.metrics import percent
from ttfs.stages.options import Parser, one_line_errors, positive, progress, usable_device, whole
from ttfs.stages.report import save_rows, written_files
from ttfs.stages.results import versions
from ttfs.stages.tables import Table
from ttfs.storage import check_writable, model_path, output_folder, save_network
from ttfs.training import SETTINGS, TARGETS, architecture, train, without_subnormals


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add("dataset", "data-dir", "depths")
    parser.add("seed", help="of initial weights and image order")
    option = parser.add_argument
    option("--width", type=whole(1, 10_000), default=400, help="neurons per hidden layer")
    option("--epochs", type=whole(1), default=SETTINGS["epochs"], help="epochs at most")
    option("--batch-size", type=whole(1), default=SETTINGS["batch_size"], help="images per step")
    option("--learning-rate", type=positive(), default=SETTINGS["learning_rate"], help="Adam's")
    targets = ", ".join(f"{target} on {dataset}" for dataset, target in TARGETS.items())
    stop = f"validation accuracy to stop at, per cent (None: {targets})"
    option("--target", type=positive(100), help=stop)
    option("--device", type=usable_device, default="cpu", help="cpu, cuda, mps ...")
    option("--threads", type=whole(1, 1024), default=2, help="CPU threads: their number has a say")
    parser.add_outputs("models", "results")
    return parser.parse_args(argv)


@one_line_errors
@without_subnormals()
def main(argv=None) -> None:
    """Train one network a depth; save each as soon as it is trained."""
    args = parse(argv)
    check_writable(args.models)
    torch.set_num_threads(args.threads)
    dataset = choose_dataset(args.dataset, args.data_dir)
    check_writable(output_folder(args.results, dataset))
    written = [model_path(args.models, dataset, depth) for depth in args.depths]
    splits = load_dataset(dataset, args.data_dir)
    args.target = args.target or TARGETS[dataset]
    rows = []
    for depth, path in zip(args.depths, written, strict=True):
        network, record, row = train_one(args, dataset, depth, *splits)
        save_network(path, network, **record)
        rows.append(row)
    script = "train_mnist_pytorch.py"
    written += save_rows(args, script, "training", dataset, rows, table(rows))
    print(f"{dataset}: {table(rows)}\n\n{written_files(written)}")


def train_one(args, dataset: str, depth: int, training, validation, test) -> tuple:
    """Return a trained network, what its file keeps beside the weights, and its row of results."""
    sizes = architecture(depth, args.width)
    own = {key: getattr(args, key) for key in (*SETTINGS, "target")}
    started = time.perf_counter()
    with progress(None, f"{depth} layers", total=args.epochs, unit="epoch") as bar:

        def after_epoch(accuracy: float) -> None:
            bar.set_postfix_str(f"validation {accuracy:.2f} %")
            bar.update()

        where = {"device": args.device, "after_epoch": after_epoch}
        network, history = train(training, validation, sizes, **own, seed=args.seed, **where)
    correct = int((network.logits(test.images).argmax(1) == test.labels).sum())
    record = {
        "accuracy": percent(correct, len(test.labels)),
        "seed": args.seed,
        "settings": own,
        "dataset": dataset,
        "validation_correct": history,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    row = {
        "depth": depth,
        "architecture": sizes,
        "epochs": len(history),
        "n_validation": len(validation.labels),
        "validation_correct": max(history),
        "n_test": len(test.labels),
        "test_correct": correct,
        "seconds": round(time.perf_counter() - started, 1),
    }
    return network, record, row


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
