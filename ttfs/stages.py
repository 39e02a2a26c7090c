"""What passes between the stages: networks and images in, results and figures out."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ttfs.datasets import Split, choose_dataset, load_dataset
from ttfs.figures import save_figures
from ttfs.network import ReluNetwork
from ttfs.results import as_written_by, load_results, save_results
from ttfs.storage import (
    ModelFileError,
    check_writable,
    load_model,
    model_path,
    network_of,
    output_folder,
)


def dataset_measured_last(choice: str, folder: Path, file: str) -> str:
    """Return the data set to draw: the choice itself, or for "auto" the newest results file's."""
    if choice != "auto":
        return choice
    times = {}
    for dataset in ("mnist", "digits"):
        path = output_folder(folder, dataset) / file
        times[dataset] = path.stat().st_mtime if path.exists() else 0.0
    return max(times, key=times.get)  # MNIST if neither exists: the error then names its file


def report(
    args: argparse.Namespace, script: str, name: str, measure: Callable, draw: Callable,
    tables: Callable,
) -> str:  # fmt: skip
    """Write results/name.json and figures/name in each format; return what there is to print.

    ``measure(args, dataset)`` returns the rows, unless ``args.redraw`` asks to draw those that are
    in the file; ``draw(results)`` returns the figure, and ``tables(results)`` a text.
    """
    if args.redraw:
        dataset = dataset_measured_last(args.dataset, args.results, f"{name}.json")
    else:
        dataset = choose_dataset(args.dataset, args.data_dir)
    results_folder = output_folder(args.results, dataset)
    figures_folder = output_folder(args.figures, dataset)
    check_writable(figures_folder)
    path, command = results_folder / f"{name}.json", command_for(script, dataset)
    if args.redraw:
        results = load_results(path, command)
        with as_written_by(command, path):
            text = tables(results)
            written = save_figures(draw, results, figures_folder, name, args.formats)
    else:
        check_writable(results_folder)
        save_results(path, script, args, dataset, measure(args, dataset))
        results = load_results(path, command)
        text = tables(results)
        written = [path, *save_figures(draw, results, figures_folder, name, args.formats)]
    return f"{text}\n\n{wrote(written)}"


def command_for(script: str, dataset: str) -> str:
    """Return the command that makes a script's results on a data set."""
    return f"python {script}" + (" --dataset digits" if dataset == "digits" else "")


def wrote(paths: list[Path]) -> str:
    """Return the last lines of a script's output: the files it wrote."""
    return "wrote " + "\n      ".join(map(str, paths))


def chosen_images(n_images: int, samples: int | None, seed: int) -> torch.Tensor:
    """Return the places of the test images to use: all, or ``samples`` drawn at random."""
    if samples is None or samples >= n_images:
        return torch.arange(n_images)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n_images, generator=generator)[:samples].sort().values


def load_networks(folder: Path, dataset: str, depths: Sequence[int]) -> dict[int, ReluNetwork]:
    """Return the trained network of each depth, checked to be what its file's name says."""
    networks = {}
    for depth in sorted(set(depths)):
        path = model_path(folder, dataset, depth)
        network = network_of(load_model(path), path)
        if network.depth != depth:
            raise ModelFileError(f"{path}: {network.depth} weight layers, not {depth}")
        if (network.architecture[0], network.architecture[-1]) != (784, 10):
            raise ModelFileError(
                f"{path}: {network.architecture[0]} inputs and {network.architecture[-1]} outputs; "
                f"28 x 28 digits need 784 and 10"
            )
        networks[depth] = network
    return networks


def networks_and_images(
    args: argparse.Namespace, dataset: str
) -> tuple[dict[int, ReluNetwork], Split, Split, Split]:
    """Return the networks by depth, and the training, validation and test split.

    With ``args.quick``, fewer training and test images.
    """
    networks = load_networks(args.models, dataset, args.depths)
    splits = load_dataset(dataset, args.data_dir)
    if args.quick:
        splits = [
            Split(split.images[:n], split.labels[:n])
            for split, n in zip(splits, (5000, 2000, 500), strict=True)
        ]
    return networks, *splits
