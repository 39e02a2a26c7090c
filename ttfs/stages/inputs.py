"""What a stage reads: the data set that was settled on, trained networks, chosen test images."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ttfs import InputError
from ttfs.formats.contents import shown
from ttfs.hardware import Hardware
from ttfs.network import ReluNetwork
from ttfs.stages.options import ROOT
from ttfs.storage import ModelFileError, load_model, model_path, network_of, output_folder

log = logging.getLogger(__name__)


def dataset_measured_last(choice: str, folder: Path, file: str, network: str = "mlp") -> str:
    """Return the data set to draw: the choice itself, or for "auto" the newest results file's."""
    if choice != "auto":
        return choice
    times = {}
    for dataset in ("mnist", "digits"):
        path = output_folder(folder, dataset, network) / file
        times[dataset] = path.stat().st_mtime if path.exists() else 0.0
    return max(times, key=times.get)  # MNIST if neither exists: the error then names its file


def command_for(script: str, dataset: str, args: argparse.Namespace) -> str:
    """Return the command that makes the results file that a script with these arguments reads."""
    command = f"python {script}" + ("" if dataset == "mnist" else f" --dataset {dataset}")
    command += "" if args.network == "mlp" else f" --network {args.network}"
    if getattr(args, "quick", False) and args.results == ROOT / "results" / "look":
        return f"{command} --quick"
    return command if args.results == ROOT / "results" else f"{command} --results {args.results}"


def image_places(n_images: int, samples: int | None, seed: int) -> torch.Tensor:
    """Return the places of the test images to use: all, or ``samples`` drawn at random."""
    if samples is None or samples >= n_images:
        return torch.arange(n_images)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n_images, generator=generator)[:samples].sort().values


LONGEST = sys.float_info.max  # that a window can be


class Model(NamedTuple):
    """A trained network, and what its file says that it was trained for."""

    network: ReluNetwork
    windows: list[float] | None  # for its spikes; None: it was trained as ReLU
    hardware: Hardware
    training: str  # its seed and settings, as text


def load_networks(
    folder: Path, dataset: str, depths: Sequence[int], network: str = "mlp"
) -> dict[int, ReluNetwork]:
    """Return the trained network of each depth, checked to be what its file's name says."""
    models = load_models(folder, dataset, depths, network)
    return {depth: model.network for depth, model in models.items()}


def load_models(
    folder: Path, dataset: str, depths: Sequence[int], network: str = "mlp"
) -> dict[int, Model]:
    """Return the trained network of each depth and what it was trained for, checked.

    Networks that did not come from one training, as after a training that was stopped before it had
    replaced them all, log a warning.
    """
    models = {}
    for depth in sorted(set(depths)):
        path = model_path(folder, dataset, depth, network)
        models[depth] = load_trained(path, dataset)
        if models[depth].network.depth != depth:
            found = models[depth].network.depth
            raise ModelFileError(f"{path}: {found} weight layers, not {depth}")
    note_trainings(folder, {depth: model.training for depth, model in models.items()})
    return models


def note_trainings(folder: Path, trainings: dict[int, str]) -> None:
    """Log a warning unless networks of these depths come from one training: which from which."""
    depths = {}
    for depth, training in sorted(trainings.items()):
        depths.setdefault(training, []).append(str(depth))
    if len(depths) > 1:
        groups = "; ".join(f"of {', '.join(group)} layers" for group in depths.values())
        what = f"networks were trained with different seeds or settings: {groups}"
        log.warning("%s: the %s", folder, what)


def load_trained(path: Path, dataset: str) -> Model:
    """Return the network in a file that classifies a data set's images, and what it is for."""
    contents = load_model(path)
    network = network_of(contents, path)
    trained_on = contents.get("dataset", dataset)
    if not isinstance(trained_on, str) or trained_on != dataset:
        other = shown(trained_on) if isinstance(trained_on, str) else "no data set"
        raise ModelFileError(f"{path}: trained on {other}, not on {dataset}")
    n_in, n_out = network.architecture[0], network.architecture[-1]
    if (n_in, n_out) != (784, 10):
        raise ModelFileError(
            f"{path}: {n_in} inputs and {n_out} outputs; 28 x 28 digits need 784 and 10"
        )
    windows = contents.get("windows")
    if windows is not None and not _are_lengths(windows, network.depth - 1):
        raise ModelFileError(f"{path}: windows are not a positive length per hidden layer")
    try:
        hardware = Hardware(**contents.get("trained_for", {}))
    except (TypeError, InputError) as error:
        raise ModelFileError(f"{path}: trained_for is no hardware that is known here") from error
    return Model(network, windows, hardware, repr([contents.get("seed"), contents.get("settings")]))


def _are_lengths(windows, count: int) -> bool:
    """Return whether something is a list of so many positive finite numbers."""
    if not isinstance(windows, list) or len(windows) != count:
        return False
    return all(isinstance(length, int | float) and 0 < length <= LONGEST for length in windows)
