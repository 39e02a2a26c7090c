"""What the studies of training in the time domain have in common: a judge, a row, a choice."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from ttfs.conversion import SpikingNetwork
from ttfs.hardware import Hardware
from ttfs.metrics import percent
from ttfs.network import ReluNetwork
from ttfs.outcome import Simulation
from ttfs.simulation import simulate

JUDGED = {"depth": int, "neurons": int, "n_test": int, "snn_correct": int, "spikes": int}
JUDGED |= {"n_validation": int, "validation_correct": int, "validation_spikes": int}


def on_hardware(
    snn: SpikingNetwork, hardware: Hardware, noise_seed: int = 0
) -> Callable[[Tensor], Simulation]:
    """Return the simulator of a spiking network on hardware."""
    generator = torch.Generator().manual_seed(noise_seed)
    return partial(simulate, snn, fire=hardware.rule(snn, generator))


def judged(lab, network: ReluNetwork, simulate: Callable[[Tensor], Simulation]) -> dict:
    """Return what a spiking network does with test images, and with those to choose it by.

    Spikes are those of the hidden layers, over all images; the inputs' are counted apart. Lost
    spikes are not counted.
    """
    checked, found = lab.validate(network, simulate), lab.judge(network, simulate)
    return found.counts | {
        "neurons": sum(layer.neurons for layer in found.audit),
        "spikes": sum(layer.spikes for layer in found.audit),
        "input_spikes": found.input_spikes,
        "saturations": sum(layer.saturations for layer in found.audit),
        "n_validation": checked.counts["n_test"],
        "validation_correct": checked.counts["snn_correct"],
        "validation_spikes": sum(layer.spikes for layer in checked.audit),
    }


def mean(rows: Sequence[dict], key: str) -> float:
    """Return the mean of a count over rows."""
    return sum(row[key] for row in rows) / len(rows)


def accuracy(row: dict) -> float:
    """Return the accuracy on test images, per cent."""
    return percent(row["snn_correct"], row["n_test"])


def mean_accuracy(rows: Sequence[dict]) -> float:
    """Return the mean accuracy on test images, per cent."""
    return sum(map(accuracy, rows)) / len(rows)


def validation_accuracy(rows: Sequence[dict]) -> float:
    """Return the mean accuracy on validation images, per cent."""
    return 100 * mean(rows, "validation_correct") / rows[0]["n_validation"]


def spikes_per_image(rows: Sequence[dict]) -> float:
    """Return the hidden spikes per test image, a mean over rows."""
    return mean(rows, "spikes") / rows[0]["n_test"]


def spikes_per_neuron(rows: Sequence[dict]) -> float:
    """Return the hidden spikes per neuron and test image, a mean over rows."""
    return spikes_per_image(rows) / rows[0]["neurons"]


def fewest_spikes(groups: Iterable[list[dict]], target: float) -> list[dict] | None:
    """Return, of several settings' rows, those with the fewest spikes that keep an accuracy.

    Both are means over a setting's rows, on *validation* images; the target is in per cent. None
    if no setting keeps it.
    """
    enough = [rows for rows in groups if validation_accuracy(rows) >= target]
    return min(enough, key=lambda rows: mean(rows, "validation_spikes"), default=None)
