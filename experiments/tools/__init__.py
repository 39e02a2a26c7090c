"""Other people's tools on our networks: a file per tool, imported when it is asked for.

Each that converts has ``SETTINGS``, by the name that a table shows, and ``converted(network,
images, **setting)``, which hands one of our networks to the tool: ``images`` are of the training
set, to scale by.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from experiments.codes import Coded, reached
from ttfs import InputError
from ttfs.network import ReluNetwork

REQUIREMENTS = "requirements-peers.txt"


class Converted(NamedTuple):
    """A network as a tool runs it, step by step; pixels are a current, the same in every step."""

    steps: Callable[[Tensor], Iterator[Tensor]]  # images to what the read-out gets in each step
    neurons: Sequence[nn.Module]  # of each hidden layer; their output is spikes, (n_images, n)


def needed(name: str) -> ModuleType:
    """Return a module of another tool; InputError if it is not installed, or not with these."""
    tool = name.split(".")[0]
    try:
        return importlib.import_module(name)
    except (ImportError, AttributeError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == tool
        fault = "is not installed" if missing else f"cannot be imported here ({error})"
        where = "in an environment of its own"
        raise InputError(f"{tool} {fault}: pip install -r {REQUIREMENTS} {where}") from error


def as_torch(network: ReluNetwork) -> nn.Sequential:
    """Return the network in PyTorch's own modules, as the tools want it."""
    modules = []
    for layer in network.layers:
        matrix = layer.synapses.matrix().float()
        linear = nn.Linear(*matrix.shape)
        linear.weight.data = matrix.T.contiguous()
        linear.bias.data = layer.synapses.bias().float()
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1]).eval()


@torch.no_grad()
def classify(
    converted: Converted, network: ReluNetwork, images: Tensor, times: Sequence[int]
) -> Iterator[Coded]:
    """Yield what the converted network says after each of some numbers of steps, and its spikes."""
    logits, sizes = 0.0, network.architecture
    products = int((images > 0).sum()) * sizes[1]
    with counted_spikes(converted.neurons) as spikes:
        for t, drive in zip(range(1, times[-1] + 1), converted.steps(images), strict=False):
            logits = logits + drive
            if t in times:
                found, updates = [0, *spikes], t * len(images) * sum(sizes[1:])
                sums = reached(found, sizes)
                yield Coded(logits / t, found, t, sums, products, products, updates)


@torch.no_grad()
def answer(converted: Converted, images: Tensor, steps: int) -> Tensor:
    """Return the logits after so many steps, and nothing else: this is what is timed."""
    drives = zip(range(steps), converted.steps(images), strict=False)
    return sum(drive for _, drive in drives) / steps


@contextlib.contextmanager
def counted_spikes(neurons: Sequence[nn.Module]) -> Iterator[list[int]]:
    """Count the spikes that modules send, each its own, while the block lasts."""
    counts = [0] * len(neurons)

    def counter(n: int) -> Callable:
        def count(module, received, sent) -> None:
            counts[n] += int((sent[0] if isinstance(sent, tuple) else sent).sum())

        return count

    handles = [module.register_forward_hook(counter(n)) for n, module in enumerate(neurons)]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()
