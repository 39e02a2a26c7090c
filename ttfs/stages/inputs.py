"""What a stage reads: the data set that was settled on, trained networks, chosen test images."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ttfs.formats.contents import shown
from ttfs.network import ReluNetwork
from ttfs.stages.options import ROOT
from ttfs.storage import ModelFileError, load_model, model_path, network_of, output_folder


def dataset_measured_last(choice: str, folder: Path, file: str) -> str:
    """Return the data set to draw: the choice itself, or for "auto" the newest results file's."""
    if choice != "auto":
        return choice
    times = {}
    for dataset in ("mnist", "digits"):
        path = output_folder(folder, dataset) / file
        times[dataset] = path.stat().st_mtime if path.exists() else 0.0
    return max(times, key=times.get)  # MNIST if neither exists: the error then names its file


def command_for(script: str, dataset: str, args: argparse.Namespace) -> str:
    """Return the command that makes the results file that a script with these arguments reads."""
    command = f"python {script}" + (" --dataset digits" if dataset == "digits" else "")
    if getattr(args, "quick", False) and args.results == ROOT / "results" / "look":
        return f"{command} --quick"
    return command if args.results == ROOT / "results" else f"{command} --results {args.results}"


def image_places(n_images: int, samples: int | None, seed: int) -> torch.Tensor:
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
        contents = load_model(path)
        network = network_of(contents, path)
        trained_on = contents.get("dataset", dataset)
        if not isinstance(trained_on, str) or trained_on != dataset:
            other = shown(trained_on) if isinstance(trained_on, str) else "no data set"
            raise ModelFileError(f"{path}: trained on {other}, not on {dataset}")
        if network.depth != depth:
            raise ModelFileError(f"{path}: {network.depth} weight layers, not {depth}")
        n_in, n_out = network.architecture[0], network.architecture[-1]
        if (n_in, n_out) != (784, 10):
            raise ModelFileError(
                f"{path}: {n_in} inputs and {n_out} outputs; 28 x 28 digits need 784 and 10"
            )
        networks[depth] = network
    return networks
