"""Train a ReLU network: the ordinary way, so that there is something to convert."""

import contextlib
import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ttfs import InputError
from ttfs.datasets import Split
from ttfs.network import ReluNetwork

DECAY_EPOCHS, DECAY_FACTOR = 10, 0.5  # the learning rate halves every ten epochs
SETTINGS = {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3}
# Validation accuracy to stop at, per cent; digits has 200 validation images, and epochs of 0.1 s.
TARGETS = {"mnist": 98.5, "digits": 99.5}
BATCH = 5000  # images evaluated at a time, to bound memory


def architecture(depth: int, width: int) -> list[int]:
    """Return the layer sizes of a network with ``depth`` weight layers on 28 x 28 digits."""
    return [784, *[width] * (depth - 1), 10]


@contextlib.contextmanager
def without_subnormals() -> Iterator[None]:
    """Take numbers below the smallest normal one for 0, because processors are slow with them.

    Gradients, and Adam's averages of them, fade through such numbers, and move no weight by one
    bit. It holds for this thread and for those that torch starts meanwhile, so enter it early.
    """
    usual = torch.tensor(1e-40).mul(1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(usual)


@without_subnormals()
def train(
    training: Split,
    validation: Split,
    sizes: list[int],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    target: float,
    seed: int,
    device: str = "cpu",
    after_epoch: Callable[[float], None] = lambda accuracy: None,
) -> tuple[ReluNetwork, list[int]]:
    """Return the trained network and the correct validation images after each epoch.

    Xavier-uniform weights, zero biases, cross-entropy, Adam, StepLR(10 epochs, 0.5). Training
    stops when the validation accuracy reaches ``target``; otherwise the best epoch is returned.

    Parameters
    ----------
    training, validation : Split
        The validation images choose when to stop, and nothing else.
    sizes : list of int
        Layer sizes from input to output.
    epochs : int
        Epochs at most.
    target : float, per cent
        Validation accuracy at which to stop.
    seed : int
        Of the initial weights and of the order of images; nothing else is random.
    after_epoch : callable
        Called with the validation accuracy in per cent after each epoch.

    Raises
    ------
    InputError
        If the weights diverge.

    """
    generator = torch.Generator().manual_seed(seed)
    model = _initial_model(sizes, generator).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, DECAY_EPOCHS, DECAY_FACTOR)
    images, labels = training.images.to(device), training.labels.to(device)
    n_validation = len(validation.labels)
    history, best = [], None
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=generator).to(device)
        for x, y in zip(
            images[order].split(batch_size), labels[order].split(batch_size), strict=True
        ):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        history.append(_correct(model, validation, device))
        if history[-1] == max(history):
            best = copy.deepcopy(model.state_dict())
        after_epoch(100 * history[-1] / n_validation)
        if history[-1] >= target / 100 * n_validation:
            break
    model.load_state_dict(best)
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise InputError("training diverged: weights are no longer finite; use a smaller step size")
    return _relu_network(model), history


def _initial_model(sizes: list[int], generator: torch.Generator) -> nn.Sequential:
    """Return an untrained network with Xavier-uniform weights and zero biases."""
    modules = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        linear = nn.Linear(n_in, n_out)
        nn.init.xavier_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@torch.no_grad()
def _correct(model: nn.Module, split: Split, device: str) -> int:
    """Return how many of the split's images the model classifies correctly."""
    batches = zip(split.images.split(BATCH), split.labels.split(BATCH), strict=True)
    return sum(int((model(x.to(device)).argmax(1).cpu() == y).sum()) for x, y in batches)


def _relu_network(model: nn.Sequential) -> ReluNetwork:
    """Return the model's weights and biases as plain arrays on the CPU."""
    linear = [module for module in model if isinstance(module, nn.Linear)]
    weights: list[Tensor] = [m.weight.detach().cpu().T.contiguous() for m in linear]
    return ReluNetwork(weights, [m.bias.detach().cpu() for m in linear])
