"""Windows chosen by what they cost: on validation images, never on test images."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ttfs import windows
from ttfs.conversion import convert
from ttfs.metrics import mcnemar_p
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form, on_ticks

QUANTILES = (
    0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0,
)  # fmt: skip
SIGNIFICANCE = 0.05


def automatic(
    network: ReluNetwork,
    x: Tensor,
    validation_images: Tensor,
    candidates: Sequence[float] = QUANTILES,
) -> tuple[float, list[float]]:
    """Return the smallest quantile that changes no significant number of labels, and its windows.

    Windows hold the quantile of each layer's spikes on the training images ``x``. From the shortest
    on, B1's labels of the validation images are compared with the ReLU network's. The first
    quantile is taken whose disagreements would not be significant (``mcnemar_p``) even if each of
    them cost a right answer, so at most 5, whatever the number of images; the largest if there is
    none. Of MNIST's 5,000 validation images that is 0.1 %; of a few hundred it allows too much.
    True labels are not involved: gains that balance losses are no reason to trust a window.
    """
    relu = network.logits(validation_images).argmax(1)
    lengths = windows.quantiles(network, x, candidates)
    for q, chosen in zip(candidates, lengths, strict=True):
        found = closed_form(convert(network, chosen), validation_images).predictions
        if mcnemar_p(int((found != relu).sum()), 0) >= SIGNIFICANCE:
            return q, chosen
    return candidates[-1], lengths[-1]


def clocked(
    network: ReluNetwork,
    x: Tensor,
    validation_images: Tensor,
    bits: int,
    candidates: Sequence[float] = QUANTILES,
    alike: bool = False,
) -> tuple[list[float], list[float]]:
    """Return each layer's quantile, and the windows, that suit a clock of 2^bits ticks a window.

    A short window has fine ticks but saturates; a long one holds everything, coarsely. Which
    matters more differs by layer. From the best quantile for all layers on, each layer's is chosen
    in turn, the others staying as they are, until none changes: the one whose labels, as softmax
    probabilities, are closest (in cross-entropy) to the ReLU network's on the validation images.
    Neither labels nor retraining are involved. Thresholds are half a tick low (``clock_driven``).
    ``alike`` leaves it at the best quantile for all layers.
    """
    targets = network.logits(validation_images).softmax(1)
    lengths = windows.quantiles(network, x, candidates)
    n_layers = network.depth - 1

    def cost(choice: list[int], first: int, inputs: Tensor) -> float:
        chosen = [lengths[k][n] for n, k in enumerate(choice)]
        return F.cross_entropy(
            _clocked_layers(network, chosen, bits, first, inputs), targets
        ).item()

    start = on_ticks(validation_images, 1.0, bits, 0.5)
    choice = min(([k] * n_layers for k in range(len(candidates))), key=lambda c: cost(c, 0, start))
    while True:
        before, inputs = choice, start
        for n in range(0 if alike else n_layers):
            options = [[*choice[:n], k, *choice[n + 1 :]] for k in range(len(candidates))]
            choice = min(options, key=lambda c, n=n, inputs=inputs: cost(c, n, inputs))
            inputs = _clocked_layer(network, n, lengths[choice[n]][n], bits, inputs)
        if choice == before:
            return [candidates[k] for k in choice], [lengths[k][n] for n, k in enumerate(choice)]


def _clocked_layers(network, window_lengths, bits: int, first: int, x: Tensor) -> Tensor:
    """Return the logits, given the time left ``x`` of the inputs of hidden layer ``first``."""
    for n in range(first, len(window_lengths)):
        x = _clocked_layer(network, n, window_lengths[n], bits, x)
    return network.preactivation(network.depth - 1, x)


def _clocked_layer(network, n: int, window_length: float, bits: int, x: Tensor) -> Tensor:
    """Return the time left of hidden layer n's spikes on the clock."""
    return on_ticks(network.preactivation(n, x), window_length, bits, 0.5)
