"""Counts that a conversion is judged by: integers, from which percentages are derived."""

import math
from collections.abc import Callable, Iterable

import torch
from scipy.stats import binomtest
from torch import Tensor

from ttfs.audit import LayerAudit, Simulation, total
from ttfs.conversion import SpikingNetwork
from ttfs.network import ReluNetwork

Batch = tuple[Tensor, Tensor, Tensor]  # images (n, n_in), labels (n,), their places in the test set


def batches(images: Tensor, labels: Tensor, chosen: Tensor, size: int = 1000) -> list[Batch]:
    """Return the chosen images in batches, with their labels and their places in the test set."""
    return [(images[part], labels[part], part) for part in chosen.split(size)]


def compare(
    network: ReluNetwork,
    snn: SpikingNetwork,
    test_batches: Iterable[Batch],
    simulate: Callable[[Tensor], Simulation],
) -> dict:
    """Return how a spiking network does beside the float64 ReLU network it came from.

    Parameters
    ----------
    network, snn : ReluNetwork, SpikingNetwork
    test_batches : iterable of (images, labels, places)
        As ``batches`` makes them.
    simulate : callable
        From images to the Simulation of ``snn``. The ReLU network is always computed in float64.

    Returns
    -------
    dict of integer counts, the largest logit and logit error, latency and audit: a row of
    results/conversion.json.

    """
    row = dict.fromkeys(
        ("n_test", "relu_correct", "snn_correct", "agreements", "relu_alone_correct")
        + ("snn_alone_correct", "n_first_1000")
        + ("relu_correct_first_1000", "snn_correct_first_1000", "hidden_spikes", "input_spikes"),
        0,
    )
    audits, errors, largest = [], [], []
    for images, labels, places in test_batches:
        relu_logits = network.logits(images.double())
        simulation = simulate(images)
        relu, snn_classes = relu_logits.argmax(1), simulation.predictions
        for key, count in paired(relu, snn_classes, labels).items():
            row[key] += count
        first = places < 1000
        row["n_first_1000"] += int(first.sum())
        row["relu_correct_first_1000"] += int((relu == labels)[first].sum())
        row["snn_correct_first_1000"] += int((snn_classes == labels)[first].sum())
        hidden_spikes, input_spikes = spike_counts(snn, images, simulation)
        row["hidden_spikes"] += hidden_spikes
        row["input_spikes"] += input_spikes
        errors.append((simulation.logits.double() - relu_logits).abs().max())
        largest.append(relu_logits.abs().max())
        audits.append(simulation.audit)
    error, audit = torch.stack(errors).max().item(), total(audits)
    row["max_abs_logit_error"] = error if math.isfinite(error) else None  # an overflow
    row["largest_logit"] = torch.stack(largest).max().item()
    neurons = sum(layer.neurons for layer in audit)
    row["hidden_neurons"] = neurons
    row["spikes_per_hidden_neuron"] = (
        row["hidden_spikes"] / (neurons * row["n_test"]) if neurons else 0.0
    )
    row["input_spikes_per_image"] = row["input_spikes"] / row["n_test"]
    row["t_max"], row["latency"] = snn.t_max, snn.t_read
    row["audit"] = [{"layer": n, **layer.row()} for n, layer in enumerate(audit, start=1)]
    return row


def paired(reference: Tensor, other: Tensor, labels: Tensor) -> dict[str, int]:
    """Return how two classifiers did on the same images: right, agreeing, and right alone.

    ``reference`` and ``other`` are (n,) predicted classes, ``labels`` the true ones.
    """
    right, other_right = reference == labels, other == labels
    return {
        "n_test": len(labels),
        "relu_correct": int(right.sum()),
        "snn_correct": int(other_right.sum()),
        "agreements": int((reference == other).sum()),
        "relu_alone_correct": int((right & ~other_right).sum()),
        "snn_alone_correct": int((other_right & ~right).sum()),
    }


def judged(reference: Tensor, other: Tensor, labels: Tensor) -> dict[str, int | float]:
    """Return the counts of ``paired``, and McNemar's p."""
    counts = paired(reference, other, labels)
    p = mcnemar_p(counts["relu_alone_correct"], counts["snn_alone_correct"])
    return {**counts, "mcnemar_p": p}


def simulated(
    simulate: Callable[[Tensor], Simulation], images: Tensor, size: int = 1000
) -> tuple[Tensor, list[LayerAudit]]:
    """Return logits and audit of a simulator, run on ``size`` images at a time."""
    parts = [simulate(batch) for batch in images.split(size)]
    return torch.cat([part.logits for part in parts]), total([part.audit for part in parts])


def mcnemar_p(relu_alone_correct: int, snn_alone_correct: int) -> float:
    """Return McNemar's exact two-sided p: do two classifiers of the same images differ?

    Of the images that just one of them gets right, each is as likely to be either's if they do not.
    """
    discordant = relu_alone_correct + snn_alone_correct
    return binomtest(relu_alone_correct, discordant).pvalue if discordant else 1.0


def spike_counts(snn: SpikingNetwork, images: Tensor, simulation: Simulation) -> tuple[int, int]:
    """Return the number of hidden and of input spikes over a batch of images.

    The alpha neuron is made to fire when its window ends: one spike a neuron and an input.
    """
    if snn.neuron == "alpha":
        return len(images) * sum(layer.neurons for layer in simulation.audit), images.numel()
    return sum(layer.spikes for layer in simulation.audit), int((images > 0).sum())


def percent(count: int, total: int) -> float:
    """Return 100 count / total."""
    return 100 * count / total


def points_lost(row: dict) -> float:
    """Return the percentage points of accuracy lost against ReLU, from the counts of ``paired``."""
    return percent(row["relu_correct"] - row["snn_correct"], row["n_test"])


def percent_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a proportion, in per cent."""
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return 100 * interval.low, 100 * interval.high
