"""Images and untrained networks that are small enough for tests of what is chosen by which."""

from pathlib import Path

import numpy as np
import torch
from oracles import random_network, random_pixels

from ttfs.datasets import Split
from ttfs.network import ReluNetwork
from ttfs.storage import load_network, save_network

DEPTHS, N_TRAINING, N_VALIDATION, N_TEST = (2, 3), 90, 50, 120


def splits() -> list[Split]:
    """Return training, validation and test images, those of each split darker than the last's."""
    sizes = ((N_TRAINING, 1.0), (N_VALIDATION, 0.8), (N_TEST, 0.6))
    return [
        Split((light * random_pixels(n, 784, k)).float(), (torch.arange(n) * 7 + k) % 10)
        for k, (n, light) in enumerate(sizes)
    ]


def save_networks(root: Path) -> Path:
    """Keep a network of 2 and one of 3 layers below a folder, and return the folder."""
    for depth in DEPTHS:
        network = random_network([784, *[9, 8][: depth - 1], 10], seed=5 + depth)
        save_network(root / "models" / f"digits_{depth}_layer.pkl", network)
    return root


def network_of(root: Path, depth: int) -> ReluNetwork:
    return load_network(root / "models" / f"digits_{depth}_layer.pkl")


def largest(network: ReluNetwork, images) -> list[float]:
    """Return the calibrated windows: 1.5 times the largest activation of each hidden layer."""
    return [1.5 * layer.max().item() for layer in network.activations(images.double())]


def layers(network: ReluNetwork, images, between=lambda x, n: x) -> list[np.ndarray]:
    """Return pixels, activations of each hidden layer and logits, in NumPy.

    ``between`` changes pixels (n = 0) and activations (n = 1 ...) on their way.
    """
    found = [between(images.numpy().astype(float), 0)]
    for n, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True), 1):
        drive = found[-1] @ weight.numpy().astype(float) + bias.numpy()
        found.append(drive if n == network.depth else between(np.maximum(drive, 0), n))
    return found


def right(logits: np.ndarray, split: Split) -> int:
    """Return how many images get their label."""
    return int((logits.argmax(1) == split.labels.numpy()).sum())
