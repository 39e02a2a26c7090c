"""Train the ReLU networks that the other scripts convert.

Reads   MNIST (or scikit-learn's digits)
Writes  models/mnist_{2,4,6,8}_layer.pkl   weights, biases, settings, history
        results/training.json              epochs, accuracies and seconds

    python train_mnist_pytorch.py
    python train_mnist_pytorch.py --depths 2 --epochs 1 --models /tmp/look --results /tmp/look

Networks of 784-400-...-400-10 units: Xavier-uniform weights, zero biases, cross-entropy, Adam,
StepLR(10 epochs, 0.5). Training stops when the validation accuracy reaches the target; test images
are used once, after training, to report. One seed gives the same bytes on the same machine.
"""

import os
import time

import torch

from ttfs import command_line, stages
from ttfs.command_line import Parser, positive, text_table, usable_device, whole
from ttfs.datasets import choose_dataset, load_dataset
from ttfs.metrics import percent
from ttfs.results import save_results, versions
from ttfs.storage import check_writable, model_path, output_folder, save_network
from ttfs.training import SETTINGS, TARGETS, architecture, train


def parse(argv):
    """Return the command line's arguments."""
    parser = Parser(__doc__)
    parser.add_data()
    parser.add_depths()
    parser.add_argument(
        "--width", type=whole(1, 10_000), default=400, help="neurons a hidden layer"
    )
    parser.add_argument(
        "--epochs", type=whole(1), default=SETTINGS["epochs"], help="epochs at most"
    )
    parser.add_argument(
        "--batch-size", type=whole(1), default=SETTINGS["batch_size"], help="images a step"
    )
    parser.add_argument(
        "--learning-rate", type=positive(), default=SETTINGS["learning_rate"], help="Adam's"
    )
    targets = ", ".join(f"{target} on {dataset}" for dataset, target in TARGETS.items())
    parser.add_argument(
        "--target", type=positive(100),
        help=f"validation accuracy to stop at, per cent (None: {targets})",
    )  # fmt: skip
    parser.add_seed("of initial weights and image order")
    parser.add_argument("--device", type=usable_device, default="cpu", help="cpu, cuda, mps ...")
    parser.add_argument(
        "--threads", type=whole(1, os.cpu_count()), help="CPU threads (None: torch's choice)"
    )
    parser.add_folder("models", "where the trained networks go")
    parser.add_folder("results", "where training.json goes")
    return parser.parse_args(argv)


@command_line.one_line_errors
def main(argv=None) -> None:
    """Train one network a depth; save each as soon as it is trained."""
    args = parse(argv)
    check_writable(args.models)
    if args.threads:
        torch.set_num_threads(args.threads)
    dataset = choose_dataset(args.dataset, args.data_dir)
    check_writable(output_folder(args.results, dataset))
    training, validation, test = load_dataset(dataset, args.data_dir)
    args.target = args.target or TARGETS[dataset]
    settings = {key: getattr(args, key) for key in (*SETTINGS, "target")}
    rows, written = [], []
    for depth in args.depths:
        bar = command_line.progress(None, f"{depth} layers", total=args.epochs, unit="epoch")
        started = time.perf_counter()

        def after_epoch(accuracy: float, bar=bar) -> None:
            bar.set_postfix_str(f"validation {accuracy:.2f} %")
            bar.update()

        sizes = architecture(depth, args.width)
        with bar:
            network, history = train(
                training, validation, sizes, **settings,
                seed=args.seed, device=args.device, after_epoch=after_epoch,
            )  # fmt: skip
        correct = int((network.logits(test.images).argmax(1) == test.labels).sum())
        rows.append({
            "depth": depth, "architecture": sizes, "epochs": len(history),
            "n_validation": len(validation.labels), "validation_correct": max(history),
            "n_test": len(test.labels), "test_correct": correct,
            "seconds": round(time.perf_counter() - started, 1),
        })  # fmt: skip
        written.append(model_path(args.models, dataset, depth))
        save_network(
            written[-1], network, accuracy=percent(correct, len(test.labels)),
            seed=args.seed, settings=settings, dataset=dataset, validation_correct=history,
            device=args.device, threads=torch.get_num_threads(), versions=versions(),
        )  # fmt: skip
    written.append(output_folder(args.results, dataset) / "training.json")
    save_results(written[-1], "train_mnist_pytorch.py", args, dataset, rows)
    print(f"{dataset}, accuracy in per cent\n\n{training_table(rows)}\n")
    print(stages.wrote(written))


def training_table(rows: list[dict]) -> str:
    """Return the printed table."""
    header = ("depth", "network", "epochs", "validation", "test", "seconds")
    return text_table(header, [
        (
            str(row["depth"]), "-".join(map(str, row["architecture"])), str(row["epochs"]),
            f"{percent(row['validation_correct'], row['n_validation']):.2f}",
            f"{percent(row['test_correct'], row['n_test']):.2f}", f"{row['seconds']:.0f}",
        ) for row in rows
    ])  # fmt: skip


if __name__ == "__main__":
    main()
