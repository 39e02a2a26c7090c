"""The two slips of the original write-up, each mended: what is done with one of its networks.

It was trained on standardised pixels and gets raw ones; and biases are not scaled with activations.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from torch import Tensor

from experiments.recipe import DEVIATION, MEAN, every_layer, outcome, recipe, recipe_logits
from ttfs.conversion import convert
from ttfs.network import ReluNetwork, unstandardised
from ttfs.simulation import closed_form
from ttfs.windows import calibrated

SAMPLE = 10_000  # training images that give one factor for all


def variants(lab, network: ReluNetwork) -> Iterator[tuple[ReluNetwork, Callable, dict]]:
    """Yield ReLU networks, what is done in their place, and what is kept beside the counts.

    The network expects standardised pixels; ``right`` does with raw ones what it does with those.
    """
    right, layers = unstandardised(network, MEAN, DEVIATION), every_layer(network)
    for name, relu in (("published", network), ("pixels mended", right)):
        (measured,) = lab.tally(partial(both_logits, relu), pushes)
        yield relu, converted(relu), {"variant": name} | measured
    yield network, converted(network, layers), {"variant": "biases mended"}
    yield right, converted(right, layers), {"variant": "both mended"}
    b1 = convert(right, calibrated(right, lab.training.images))
    yield right, partial(closed_form, b1), {"variant": "this conversion"}
    yield right, lambda x: outcome(x, network.logits(x)), {"variant": "ReLU on raw pixels"}
    typical = medians(bias_factors(network, lab.training.images[:SAMPLE]))
    divided = [bias / factor for bias, factor in zip(network.biases, typical, strict=True)]
    once = converted(ReluNetwork(network.weights, divided))
    yield network, once, {"variant": "one factor a layer", "bias_factors": typical}
    for layer in layers[1:]:  # the first layer's factor is 1
        others = set(layers) - {layer}
        yield network, converted(network, others), {"variant": "one bias", "layer": layer}
        rest = set(layers) - set(layers[:layer])
        yield network, converted(network, rest), {"variant": "first biases", "layer": layer}


def converted(network: ReluNetwork, rescaled: Collection[int] = ()) -> Callable:
    """Return the recipe's conversion of a network, as a simulator."""
    return lambda x: outcome(x, recipe_logits(network, x, rescaled=rescaled))


def both_logits(network: ReluNetwork, pixels: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the outputs of a ReLU network, those of the recipe, and the factors of its biases.

    The recipe's are multiplied by the last factor: with rescaled biases, they would be the
    network's, but for those below 0.
    """
    factors = bias_factors(network, pixels)
    made = factors[-1] * recipe_logits(network, pixels.float())
    return network.logits(pixels), made.double(), factors


def pushes(found: tuple[Tensor, Tensor, list[Tensor]], labels: Tensor) -> list[dict]:
    """Return what the recipe's biases do to the outputs of all images, and to which labels."""
    relu, made, factors = found
    changed = relu.argmax(1) != made.argmax(1)
    relu = relu.clamp(min=0)
    push = made - relu
    common = push.mean(0).square().sum() / push.square().sum(1).mean()
    return [
        {
            "bias_factors": medians(factors),
            "push": (push.norm(dim=1) / relu.norm(dim=1)).nanmedian().item(),  # none of nothing
            "common_push": common.item(),
            "changed_to": made.argmax(1)[changed].bincount(minlength=10).tolist(),
        }
    ]


def bias_factors(network: ReluNetwork, pixels: Tensor) -> list[Tensor]:
    """Return how many times too much each layer's bias weighs, per image."""
    return recipe(network, pixels.float(), rescaled=every_layer(network))[1]


def medians(factors: list[Tensor]) -> list[float]:
    """Return each layer's factor, the median of the images."""
    return [factor.median().item() for factor in factors]
