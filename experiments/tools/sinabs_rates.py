"""sinabs' from_model: integrate-and-fire neurons that may fire several times in a step."""

from collections.abc import Iterator

from torch import Tensor

from experiments.tools import Converted, as_torch, needed
from ttfs.network import ReluNetwork
from ttfs.windows import normalise_layers, quantile

SETTINGS = {
    "its own scaling by 99.9 %": {"own": True},
    "scaled here by 99.9 %": {},
    "scaled here by 99.9 %, start at half": {"start": 0.5},
    "scaled here by 99 %, start at half": {"start": 0.5, "q": 0.99},
    "scaled here by 95 %, start at half": {"start": 0.5, "q": 0.95},
}
LOOKED_AT = 5000  # images, by its own scaling


def converted(
    network: ReluNetwork, images: Tensor, own: bool = False, start: float = 0.0, q: float = 0.999
) -> Converted:
    """Return the network converted by ``from_model``, its activations scaled before.

    Its ``normalize_weights`` divides a layer's biases by that layer's scale alone, and not by those
    of the layers before. Scaled here, they are divided by both.
    """
    from_model = needed("sinabs.from_torch").from_model
    if own:
        model, names = as_torch(network), [f"{n}" for n in range(2 * network.depth - 1)]
        normalise = needed("sinabs.utils").normalize_weights
        normalise(model, images[:LOOKED_AT], names[1::2], names[:-1:2], percentile=100 * q)
    else:
        model = as_torch(normalise_layers(network, quantile(network, images, q)))
    first, snn = model[0], from_model(model[1:], num_timesteps=1)
    layers = [m for m in snn.spiking_model.modules() if hasattr(m, "v_mem")]

    def steps(x: Tensor) -> Iterator[Tensor]:
        current = first(x)  # the same in every step
        for layer, n in zip(layers, network.architecture[1:-1], strict=True):
            layer.init_state_with_shape((len(x), n))
        snn.reset_states(randomize=True, value_ranges=[{"v_mem": (start, start)}] * len(layers))
        while True:
            yield snn(current)

    return Converted(steps, layers)
