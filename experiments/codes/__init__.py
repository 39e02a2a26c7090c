"""Codes that carry an activation in spikes: a file per code, and how all of them are judged.

Each ``classify`` takes a ReLU network and images, and says what its spikes do: all codes are judged
on the same weights and the same images, by the same counts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ttfs.metrics import BATCH


class Coded(NamedTuple):
    """What a network does with a batch of images, in spikes of some code.

    Counts are those of all images of the batch together, but for the steps.
    """

    logits: Tensor  # (n_images, n_classes)
    spikes: list[int]  # of the input and of each hidden layer
    steps: int | None  # of time until the answer, from the first step of the input on
    sums: int  # a spike is added to what a neuron has received, in memory
    gathered: int  # one neuron's inputs are added up, at once
    products: int  # a weight is multiplied by a number
    updates: int  # of a potential, in a step: of hidden and read-out neurons


Classifier = Callable[[Tensor], Iterable[Coded]]  # from images to an answer per number of steps


def reached(spikes: list[int], architecture: list[int]) -> int:
    """Return how many synapses the spikes pass: each reaches every neuron of the next layer."""
    return sum(n * fan_out for n, fan_out in zip(spikes, architecture[1:], strict=True))


def judged(lab, classify: Classifier) -> list[dict]:
    """Return what a code does with test images, and with those to choose it by.

    A row per number of steps.
    """
    tested = lab.tally(partial(in_batches, classify), lambda *found: list(counted(*found)))
    images, labels = lab.validation
    checked = counted(in_batches(classify, images), labels)
    return [
        test | {"n_validation": own["n_test"], "validation_correct": own["snn_correct"]}
        for test, own in zip(tested, checked, strict=True)
    ]


def in_batches(classify: Classifier, images: Tensor) -> list[list[Coded]]:
    """Return the answers to all images: of each batch, one per number of steps.

    One batch ends before the next begins: a tool may keep potentials from step to step.
    """
    return [list(classify(part)) for part in images.split(BATCH)]


def counted(batches: Sequence[Iterable[Coded]], labels: Tensor) -> Iterator[dict]:
    """Yield counts of answers, added up over the batches: one row per number of steps."""
    for parts in zip(*batches, strict=True):
        classes = torch.cat([part.logits for part in parts]).argmax(1)
        spikes = zip(*(part.spikes for part in parts), strict=True)
        row = {"n_test": len(labels), "snn_correct": int((classes == labels).sum())}
        row |= {"spikes": list(map(sum, spikes)), "steps": parts[0].steps}
        counts = ("sums", "gathered", "products", "updates")
        yield row | {key: sum(getattr(part, key) for part in parts) for key in counts}
