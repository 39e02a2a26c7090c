"""The scripts, run in this process on scikit-learn's digits."""

import contextlib
import io
import json
import pickle
from pathlib import Path

import matplotlib
import numpy as np
import torch
from torch import nn

import train_mnist_pytorch
from ttfs.datasets import load_dataset
from ttfs.network import ReluNetwork
from ttfs.storage import save_network
from ttfs.training import initial_network
from ttfs.training import train as train_network

matplotlib.use("Agg")
DIGITS = ["--dataset", "digits", "--depths", "2", "3"]
QUICK = ["--epochs", "2", "--width", "20"]


def folders(root: Path, *names: str) -> list[str]:
    """Return --models root/models --results root/results ... for the names given."""
    return [part for name in names for part in (f"--{name}", str(root / name))]


def run(script, *arguments, status: int = 0) -> str:
    """Return what a script prints, after checking its status and that it complains of nothing."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            found = script.main([str(argument) for argument in arguments])
    assert (found or 0, err.getvalue()) == (status, "")
    return out.getvalue()


def results(root: Path, name: str) -> dict:
    """Return a results file of the digits."""
    return json.loads((root / "results" / "digits" / f"{name}.json").read_text())


def files_below(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its contents."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def train(root: Path, *arguments) -> Path:
    """Train two small networks into root/models, and return root."""
    run(train_mnist_pytorch, *DIGITS, *QUICK, *folders(root, "models", "results"), *arguments)
    return root


def save_small_lenet(root: Path, seed: int = 0) -> nn.Sequential:
    """Keep a small convolutional network of four layers where LeNet's is kept, and return it.

    It is untrained, but for its last layer, which is fitted to the training images.
    """
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(96, 60), nn.ReLU(), nn.Linear(60, 10)),
    )
    images, classes = load_dataset("digits")[0]
    with torch.no_grad():
        features = model[:-1](images.unflatten(1, (1, 28, 28)))
        features = torch.cat([features, torch.ones(len(features), 1)], 1).double()
        products = features.T @ features + torch.eye(61)  # a ridge: some features are always 0
        fitted = torch.linalg.solve(products, features.T @ torch.eye(10).double()[classes])
        model[-1].weight.copy_(fitted[:-1].T)
        model[-1].bias.copy_(fitted[-1])
    network = ReluNetwork.from_torch(model, (1, 28, 28))
    save_network(root / "models" / "digits_lenet.pkl", network, dataset="digits")
    return model


def layers(root: Path, depth: int, split: str) -> list[np.ndarray]:
    """Return pixels, activations of each hidden layer and logits of the ReLU network, float64.

    It shares no code with the scripts: plain pickle and NumPy.
    """
    file = pickle.loads((root / "models" / f"digits_{depth}_layer.pkl").read_bytes())
    images = load_dataset("digits")[0 if split == "training" else 2].images
    values = [images.numpy().astype(np.float64)]
    for weight, bias in zip(file["weights"], file["biases"], strict=True):
        values.append(np.maximum(values[-1], 0) @ weight.astype(np.float64) + bias)
    return [values[0], *[np.maximum(value, 0) for value in values[1:-1]], values[-1]]


def labels() -> np.ndarray:
    """Return the labels of the test images."""
    return load_dataset("digits")[2].labels.numpy()


def trained_as_relu(training, validation, sizes, *, seed, **settings):
    """Return the network that a seed's start becomes, trained as ReLU, and its history."""
    generator = torch.Generator().manual_seed(seed)
    start = initial_network(sizes, generator)
    found = train_network(start, training, validation, generator=generator, **settings)
    return found.network, found.history


def learning_rates(monkeypatch) -> list[float]:
    """Return a list that fills with the learning rate of every step of training."""
    rates, step = [], torch.optim.Adam.step

    def noted(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    return rates
