"""SpikingJelly's converter: rates of integrate-and-fire neurons, scaled by their activations."""

import contextlib
import io
from collections.abc import Iterator

from torch import Tensor

from experiments.tools import Converted, as_torch, needed
from ttfs.metrics import BATCH
from ttfs.network import ReluNetwork

HALF = {"channel_wise": True, "half_threshold": True}
SETTINGS = {
    "largest activation": {"mode": "Max"},
    "99.9 % of the activations": {"mode": "99.9%"},
    "largest, a scale per neuron, start at half": HALF | {"mode": "Max"},
    "99.9 %, a scale per neuron, start at half": HALF | {"mode": "99.9%"},
    "99 %, a scale per neuron, start at half": HALF | {"mode": "99%"},
}


def converted(network: ReluNetwork, images: Tensor, **setting) -> Converted:
    """Return the network converted by ``Converter`` and ``RateCodingRecipe``.

    All but the first layer: what it makes of the pixels is the same in every step.
    """
    ann2snn = needed("spikingjelly.activation_based.ann2snn")
    base = needed("spikingjelly.activation_based")
    functional, neuron = base.functional, base.neuron
    model = as_torch(network)
    first, others = model[0], model[1:]
    batches = [(first(part), part.new_zeros(len(part))) for part in images.split(BATCH)]
    recipe = ann2snn.RateCodingRecipe(dataloader=batches, **setting)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        snn = ann2snn.Converter(recipe=recipe).convert(others).eval()

    def steps(x: Tensor) -> Iterator[Tensor]:
        functional.reset_net(snn)
        current = first(x)
        while True:
            yield snn(current)

    return Converted(steps, [m for m in snn.modules() if isinstance(m, neuron.BaseNode)])
