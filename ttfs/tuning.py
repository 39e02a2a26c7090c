"""Windows chosen by what they cost: on validation images, never on test images."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from ttfs import InputError, windows
from ttfs.coding import INPUT
from ttfs.conversion import convert
from ttfs.imperfections import clock
from ttfs.metrics import mcnemar_p
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form, propagate

QUANTILES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93)
QUANTILES += (0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)
SIGNIFICANCE = 0.05
MOST_VALUES = 2**25  # activations that the windows of a clock are chosen on
POLICY_WORDS = "calibrated[:MARGIN], quantile:Q, fixed:T_MAX, safe, automatic"


def window_policy(name: str) -> Callable[[ReluNetwork, Tensor, Tensor], list[float]]:
    """Return the policy that the command line's words name: from (network, training images,
    validation images) to window lengths. InputError if they name none.
    """
    word, *numbers = name.split(":")
    try:
        numbers = [float(number) for number in numbers]
    except ValueError:
        word = ""
    match word, numbers:
        case "calibrated", [] | [_]:
            return lambda network, x, _: windows.calibrated(network, x, *numbers)
        case "quantile", [q]:
            return lambda network, x, _: windows.quantile(network, x, q)
        case "fixed", [t_max]:
            return lambda network, *_: windows.fixed(network, t_max)
        case "safe", []:
            return lambda network, *_: windows.safe(network)
        case "automatic", []:
            return _automatic_lengths
    raise InputError(f"unknown window policy {name!r}: choose from {POLICY_WORDS}")


def _automatic_lengths(network: ReluNetwork, x: Tensor, validation_images: Tensor) -> list[float]:
    """Return the windows of the quantile that ``automatic_quantile`` chooses."""
    candidates = windows.quantiles(network, x, QUANTILES)
    return candidates[automatic_quantile(network, candidates, validation_images)]


Candidates = dict[float, list[float]]  # window lengths by quantile, shortest first


def automatic_quantile(
    network: ReluNetwork, candidates: Candidates, validation_images: Tensor
) -> float:
    """Return the smallest quantile that changes no significant number of labels.

    The candidates hold quantiles of each layer's spikes on training images (``windows.quantiles``).
    From the shortest on, B1's labels of the validation images are compared with the ReLU network's.
    The first quantile is taken whose disagreements would not be significant (``mcnemar_p``) even if
    each of them cost a right answer, so at most 5, whatever the number of images; the largest if
    there is none. Of MNIST's 5,000 validation images that is 0.1 %; of a few hundred it allows too
    much. True labels are not involved: gains that balance losses are no reason to trust a window.
    """
    relu = network.logits(validation_images).argmax(1)
    for q, lengths in candidates.items():
        found = closed_form(convert(network, lengths), validation_images).predictions
        if mcnemar_p(int((found != relu).sum()), 0) >= SIGNIFICANCE:
            return q
    return max(candidates)


def clock_quantiles(
    network: ReluNetwork,
    candidates: Candidates,
    validation_images: Tensor,
    bits: int,
    alike: bool = False,
) -> list[float]:
    """Return each layer's quantile that suits a clock of 2^bits ticks per window.

    A short window has fine ticks but saturates; a long one holds everything, coarsely. Which
    matters more differs by layer. From the best quantile for all layers on, each layer's is chosen
    in turn, the others staying as they are, until none changes: the one whose labels, as softmax
    probabilities, are closest (in cross-entropy) to the ReLU network's on the validation images.
    Neither labels nor retraining are involved. Thresholds are half a tick low. ``alike`` leaves it
    at the best quantile for all layers. Large networks see the first validation images alone, with
    MOST_VALUES activations.
    """
    validation_images = validation_images[: MOST_VALUES // sum(network.architecture[1:])]
    targets = network.logits(validation_images).softmax(1)
    n_layers, fire = network.depth - 1, clock(bits, half_tick=True)

    def outcome(choice: list[float], first: int, u: Tensor):
        snn = convert(network, own_lengths(candidates, choice))
        return propagate(snn.layers[first:], u, fire)

    def cost(choice: list[float], first: int, u: Tensor) -> float:
        return F.cross_entropy(outcome(choice, first, u).logits, targets).item()

    start = fire(validation_images, INPUT)
    choice = min(([q] * n_layers for q in candidates), key=lambda c: cost(c, 0, start))
    while True:
        before, u = choice, start
        for n in range(0 if alike else n_layers):
            options = [[*choice[:n], q, *choice[n + 1 :]] for q in candidates]
            choice = min(options, key=lambda c, n=n, u=u: cost(c, n, u))
            u = outcome(choice, n, u).time_left[0]
        if choice == before:
            return choice


def clock_lengths(
    network: ReluNetwork, images: Tensor, validation_images: Tensor, bits: int
) -> list[float]:
    """Return the windows of the quantiles that ``clock_quantiles`` chooses, one per hidden layer.

    The candidates are quantiles of the spikes that ``images``, of the training set, cause.
    """
    candidates = windows.quantiles(network, images, QUANTILES)
    chosen = clock_quantiles(network, candidates, validation_images, bits)
    return own_lengths(candidates, chosen)


def own_lengths(candidates: Candidates, choice: Sequence[float]) -> list[float]:
    """Return each hidden layer's window length at its own quantile."""
    return [candidates[q][n] for n, q in enumerate(choice)]
