"""Counts that a conversion is judged by: integers, from which percentages are derived."""

from collections.abc import Callable
from typing import NamedTuple

import scipy  # of which stats, slow to import, is loaded when it is asked for
import torch
from torch import Tensor

from ttfs.network import BATCH
from ttfs.outcome import LayerAudit, Simulation, total


class Comparison(NamedTuple):
    """How a spiking network does beside the float64 ReLU network that it came from."""

    counts: dict  # of ``paired_counts``
    input_spikes: int
    logits: Tensor  # (n_images, n_classes)
    logit_error: float  # the largest; infinite or NaN after an overflow
    largest_logit: float  # of the ReLU network
    audit: list[LayerAudit]  # one per hidden layer


def comparison(
    relu_logits: Tensor,
    labels: Tensor,
    images: Tensor,
    simulate: Callable[[Tensor], Simulation],
    device: str = "cpu",
) -> Comparison:
    """Return what a simulator does with images, batch by batch, beside the ReLU network.

    Parameters
    ----------
    relu_logits : (n_images, n_classes) tensor
        Of the float64 ReLU network.
    labels : (n_images,) int64 tensor
    images : (n_images, n_in) tensor
    simulate : callable
        From a batch of images to a Simulation.
    device : str
        Where the images are simulated.

    """
    logits, audits, input_spikes = [], [], 0
    for part in images.split(BATCH):
        simulation = simulate(part.to(device))
        logits.append(simulation.logits.cpu())
        audits.append(simulation.audit)
        input_spikes += int((simulation.inputs > 0).sum())
    logits = torch.cat(logits)
    counts = paired_counts(relu_logits.argmax(1), logits.argmax(1), labels)
    error = (logits.double() - relu_logits).abs().max().item()
    largest = relu_logits.abs().max().item()
    return Comparison(counts, input_spikes, logits, error, largest, total(audits))


def paired_counts(relu: Tensor, snn: Tensor, labels: Tensor) -> dict:
    """Return how two classifiers of the same images do, together and apart, and McNemar's p.

    ``relu`` and ``snn`` are their classes, (n_images,). Everything but p is an integer.
    """
    relu_correct, snn_correct = relu == labels, snn == labels
    counts = {
        "n_test": len(labels),
        "relu_correct": int(relu_correct.sum()),
        "snn_correct": int(snn_correct.sum()),
        "agreements": int((relu == snn).sum()),
        "relu_alone_correct": int((relu_correct & ~snn_correct).sum()),
        "snn_alone_correct": int((snn_correct & ~relu_correct).sum()),
    }
    p = mcnemar_p(counts["relu_alone_correct"], counts["snn_alone_correct"])
    return counts | {"mcnemar_p": p}


def mcnemar_p(relu_alone_correct: int, snn_alone_correct: int) -> float:
    """Return McNemar's exact two-sided p: do two classifiers of the same images differ?

    Of the images that just one of them gets right, each is as likely to be either's if they do not.
    """
    discordant = relu_alone_correct + snn_alone_correct
    return scipy.stats.binomtest(relu_alone_correct, discordant).pvalue if discordant else 1.0


def percent(count: int, total: int) -> float:
    """Return 100 count / total."""
    return 100 * count / total


def points_lost(row: dict) -> float:
    """Return the percentage points of accuracy lost against ReLU, from ``paired_counts``."""
    return percent(row["relu_correct"] - row["snn_correct"], row["n_test"])


def percent_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a proportion, in per cent."""
    interval = scipy.stats.binomtest(count, total).proportion_ci(method="wilson")
    return 100 * interval.low, 100 * interval.high
