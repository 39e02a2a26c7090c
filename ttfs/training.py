"""Train a network: as ReLU, so that there is something to convert, or in the time domain."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttfs import InputError
from ttfs.datasets import Split
from ttfs.network import BATCH, ReluNetwork
from ttfs.time_domain import AsRelu, TimeDomain

DECAY_EPOCHS, DECAY_FACTOR = 10, 0.5  # the learning rate halves every ten epochs
SETTINGS = {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3}
TIME_SETTINGS = {"epochs": 8, "batch_size": 128, "learning_rate": 1e-3}  # in the time domain
# Validation accuracy to stop at, per cent; digits has 200 validation images, and epochs of 0.1 s.
TARGETS = {"mnist": 98.5, "fashion": 91.0, "digits": 99.5}
DIVERGED = "training diverged: numbers are no longer finite; use a smaller --learning-rate"


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


class Trained(NamedTuple):
    """What training leaves."""

    network: ReluNetwork  # float, on the CPU
    windows: list[float]  # for its spikes; none if it was trained as ReLU
    history: list[int]  # correct validation images after each epoch
    correct: int  # of the validation images, in the windows that are returned


@without_subnormals()
def train(
    network: ReluNetwork,
    training: Split,
    validation: Split,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    target: float | None = None,
    through: AsRelu | TimeDomain | None = None,
    augmented: Callable[[Tensor], Tensor] = lambda x: x,
    device: str = "cpu",
    after_epoch: Callable[[float], None] = lambda accuracy: None,
    after_step: Callable[[ReluNetwork, Tensor], None] = lambda network, loss: None,
) -> Trained:
    """Return the network after training all its weights and biases: cross-entropy and Adam.

    With a ``target`` the learning rate halves every ten epochs, and training stops when the
    validation accuracy reaches the target; otherwise the best epoch is returned. Without, the
    learning rate rises and falls in one cycle over all epochs, Adam's beta1 falls and rises, and
    the last epoch is returned.

    Parameters
    ----------
    network : ReluNetwork
        Where training starts; it stays as it is. Its dtype is that of the computation.
    training, validation : Split
        The validation images choose when to stop and which epoch to return, if there is a target,
        and between the windows that the pass offers.
    epochs : int
        Epochs at most.
    generator : torch.Generator
        Of the order of the images.
    target : float, per cent
        Validation accuracy at which to stop.
    through : AsRelu, TimeDomain or AsModel
        What an image passes through (``ttfs.time_domain``, ``ttfs.lenet``): as ReLU by default.
    augmented : callable
        From a batch of training images to those that are learnt.
    after_epoch, after_step : callable
        Called with the validation accuracy in per cent; with the network and the loss.

    Raises
    ------
    InputError
        If the weights diverge.

    """
    through, network = through or AsRelu(), _trainable(network, device)
    for norm in through.norms:
        norm.to(device=device, dtype=network.numbers[0].dtype)
    parameters = [*network.numbers, *through.parameters]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    images, labels = training.images.to(parameters[0]), training.labels.to(device)
    schedule, n_validation = torch.optim.lr_scheduler, len(validation.labels)
    steps = epochs * -(-len(labels) // batch_size)
    if target is None:
        scheduler = schedule.OneCycleLR(optimizer, learning_rate, steps)
    else:
        scheduler = schedule.StepLR(optimizer, DECAY_EPOCHS, DECAY_FACTOR)
    history, best = [], None
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=generator).to(device)
        for x, y in zip(
            images[order].split(batch_size), labels[order].split(batch_size), strict=True
        ):
            logits, penalty = through(network, augmented(x))
            loss = F.cross_entropy(logits, y) + penalty
            if not loss.isfinite():
                raise InputError(DIVERGED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if target is None:
                scheduler.step()
            after_step(network, loss)
        if target is not None:
            scheduler.step()
        found = through.delivered(network)
        history.append(n_correct(through, found, through.lengths, validation))
        if target is None or history[-1] == max(history):
            best = _on_the_cpu(found), list(through.lengths)
        after_epoch(100 * history[-1] / n_validation)
        if target is not None and history[-1] >= target / 100 * n_validation:
            break
    network, lengths = best
    options = through.windows(network, lengths, training.images, validation.images)
    counts = [n_correct(through, network, lengths, validation) for lengths in options]
    correct = max(counts)
    return Trained(network, options[counts.index(correct)], history, correct)


def initial_network(sizes: list[int], generator: torch.Generator) -> ReluNetwork:
    """Return an untrained network with Xavier-uniform weights and zero biases."""
    weights = [torch.empty(n_out, n_in) for n_in, n_out in zip(sizes, sizes[1:], strict=False)]
    for weight in weights:
        nn.init.xavier_uniform_(weight, generator=generator)
    return ReluNetwork([weight.T for weight in weights], [torch.zeros(n) for n in sizes[1:]])


def _trainable(network: ReluNetwork, device: str) -> ReluNetwork:
    """Return a copy whose weights and biases are there to be trained."""
    return network.changed(lambda v: v.detach().to(device, copy=True).requires_grad_())


def _on_the_cpu(network: ReluNetwork) -> ReluNetwork:
    """Return a copy that training no longer changes; InputError if it has diverged."""
    found = network.changed(lambda v: v.detach().to("cpu", copy=True))
    if not all(number.isfinite().all() for number in found.numbers):
        raise InputError(DIVERGED)
    return found


@torch.no_grad()
def n_correct(
    through: AsRelu | TimeDomain, network: ReluNetwork, lengths: list[float], split: Split
) -> int:
    """Return how many of the split's images a delivered network classifies correctly."""
    like = network.numbers[0]
    batches = zip(split.images.split(BATCH), split.labels.split(BATCH), strict=True)
    answers = (
        (through.answer(network, lengths, x.to(like)).argmax(1).cpu(), y) for x, y in batches
    )
    return sum(int((found == y).sum()) for found, y in answers)
