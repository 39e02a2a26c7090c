"""Rate code: an activation is how often a neuron fires, in units of its threshold."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from experiments.codes import Coded, reached
from ttfs.network import ReluNetwork


def classify(
    network: ReluNetwork,
    thresholds: Sequence[float],
    images: Tensor,
    times: Sequence[int],
    current: bool = False,
) -> Iterator[Coded]:
    """Yield what integrate-and-fire neurons say after each of some numbers of steps.

    In every step each layer, one after the other, adds up its spikes and fires at once::

        V_i += sum_j W_ji theta_j s_j + b_i        s_i = V_i >= theta_i        V_i -= theta_i s_i

    A spike takes the threshold theta off the potential (soft reset), which starts at theta / 2, so
    that theta x rate is the activation rounded to the nearest multiple of theta / T, and not down
    (Bu et al., ICLR 2022, arXiv 2303.04347). A neuron fires at most once per step: activations
    above theta are lost. The read-out adds up, and does not fire.

    Parameters
    ----------
    network : ReluNetwork
    thresholds : sequence of float
        One per hidden layer: its largest activation, or a quantile.
    images : (n_batch, n_in) tensor, in [0, 1]
        Pixels charge input neurons of threshold 1, or the first layer itself if ``current``.
    times : increasing sequence of int
        Numbers of steps T.
    current : bool
        Whether there are no input spikes: pixels are multiplied by the first layer's weights, once,
        and what comes out is added in every step.

    """
    thetas, sizes = [1.0, *thresholds], network.architecture
    pairs = zip(sizes[:-1], thetas, strict=True)
    potentials = [images.new_full((len(images), n), theta / 2) for n, theta in pairs]
    logits, spikes = images.new_zeros(len(images), sizes[-1]), [0] * network.depth
    first, products = network.layers[0].drive(images), 0
    if current:
        products = int((images > 0).sum()) * sizes[1]
    for t in range(1, times[-1] + 1):
        drive = first
        if not current:
            u = _fired(potentials, 0, images, 1.0)
            spikes[0] += int((u > 0).sum())
            drive = network.layers[0].drive(u)
        for n, layer in enumerate(network.layers[1:], start=1):
            u = _fired(potentials, n, drive, thetas[n])
            spikes[n] += int((u > 0).sum())
            drive = layer.drive(u)
        logits += drive
        if t in times:
            updates = t * len(images) * sum(sizes[1:])
            found, sums = list(spikes), reached(spikes, sizes)
            yield Coded(logits / t, found, t, sums, products, products, updates)


def _fired(potentials: list[Tensor], n: int, drive: Tensor, theta: float) -> Tensor:
    """Return theta where a layer's neurons fire, else 0, and take it off their potentials."""
    potentials[n] += drive
    u = theta * (potentials[n] >= theta).to(drive)
    potentials[n] -= u
    return u
