"""The experiments, run once on the digits, and their networks once more in NumPy."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
from pipeline import DIGITS, folders, layers, results, run, save_small_lenet, train

import train_mnist_pytorch
from experiments import __main__ as experiments
from experiments.lab import Lab, Setting
from ttfs.datasets import load_dataset
from ttfs.stages.results import rows_with

# What needs another tool; the rest of the experiments runs everywhere.
NEEDS = {
    "direct_training": ["snntorch"],
    "peers": ["spikingjelly", "snntorch", "sinabs"],
    "witness": ["brian2"],
}
OPTIONS = {
    name: ["--depths", 2, 3, "--quick"]
    for name in experiments.questions()
    if name != "benchmarks"  # takes minutes: tests/test_benchmarks.py has its parts
    and all(map(importlib.util.find_spec, NEEDS.get(name, ())))
}
OPTIONS["membrane_traces"] = ["--depth", 3]
OPTIONS["convolutional"] = ["--quick"]
OPTIONS["travelling_digit"] = ["--depth", 3, "--quick"]
ONE_IMAGE = ("membrane_traces", "travelling_digit")  # read by one network, drawn and not counted


def study(root: Path) -> Path:
    """Train networks into root, run every experiment there, and return root."""
    train(root)
    save_small_lenet(root)
    places = ["--models", root / "models" / "records" / "two_ticks", "--results", root / "records"]
    run(train_mnist_pytorch, *DIGITS, "--from", root / "models", "--ticks", 2, *places)
    places = folders(root, "models", "results", "figures")
    for name, options in OPTIONS.items():
        run(experiments, name, "--dataset", "digits", "--jobs", 1, *options, *places)
    return root


def lab_of(root: Path, quick: bool = True) -> Lab:
    """Return the lab that the experiments work in."""
    return Lab(Setting("digits", str(root), str(root / "models"), (2, 3), quick))


def rows(root: Path, name: str, **keys) -> list[dict]:
    """Return the rows of a results file that have these values."""
    return rows_with(results(root, name)["rows"], **keys)


def parameters(root: Path, depth: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the weights and biases of a network, float64, layer by layer."""
    file = pickle.loads((root / "models" / f"digits_{depth}_layer.pkl").read_bytes())
    pairs = zip(file["weights"], file["biases"], strict=True)
    return [(weight.astype(float), bias.astype(float)) for weight, bias in pairs]


def relu_labels(root: Path, depth: int) -> np.ndarray:
    return layers(root, depth, "test")[-1].argmax(1)


def clipped(root: Path, depth: int, windows: list[float], split: str = "test") -> np.ndarray:
    """Return the logits of a network whose activations are clipped at the windows, in NumPy."""
    images = load_dataset("digits")[1 if split == "validation" else 2].images
    x = images.numpy().astype(float)
    for n, (weight, bias) in enumerate(parameters(root, depth)):
        x = x @ weight + bias
        if n < depth - 1:
            x = np.clip(x, 0, windows[n])
    return x


def clocked(root: Path, depth: int, windows: list[float], ticks: int, split: str) -> np.ndarray:
    """Return the classes of a network on a clock, half a tick low, in NumPy."""
    images = load_dataset("digits")[1 if split == "validation" else 2].images
    x = np.floor(images.numpy().astype(float) * ticks + 0.5) / ticks
    for n, (weight, bias) in enumerate(parameters(root, depth)):
        x = x @ weight + bias
        if n < depth - 1:
            tick = windows[n] / ticks
            x = np.clip(np.floor(x / tick + 0.5), 0, ticks) * tick
    return x.argmax(1)
