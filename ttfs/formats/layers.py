"""Layers that are more than one matrix, as a model file describes them: with built-ins.

Such a file's ``weights`` and ``biases`` hold an array for each operation that has numbers, in
order, and ``layers`` says for each layer: the shape of its ``inputs``, the ``pools`` in front of
its synapses, the shape of what is ``pooled``, and the synapses' ``steps``, by the names of
``ttfs.steps.OPERATIONS`` with torch's own settings.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ttfs import InputError
from ttfs.affine import Affine, MaxPool
from ttfs.steps import CONVOLUTION, MEAN, Step, leaves

MOST_NEURONS = 2**24  # outputs of one step
MOST_POOLS = 20
LARGEST = 10_000  # of any setting
SMALLEST = {"padding": 0, "end_dim": -1}  # of a setting; of all others 1
FLAGS = ("ceil_mode", "count_include_pad")
WORDS = {"padding": ("same", "valid"), "divisor_override": (None,)}  # that a setting may also be
POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
SETTINGS = {"linear": (), "scale": (), "flatten": ("start_dim", "end_dim")}
SETTINGS |= {"conv1d": CONVOLUTION, "conv2d": CONVOLUTION}
SETTINGS |= {"mean1d": MEAN, "mean2d": (*MEAN, "divisor_override")}
POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
DIMENSIONS = {"linear": 2, "conv1d": 3, "conv2d": 4, "scale": 1}  # of an operation's weight


def described(layers: Sequence[tuple[Affine, MaxPool | None]]) -> tuple[list, list, list]:
    """Return the descriptions of layers, and the weights and biases of their steps, as tensors."""
    found, weights, biases = [], [], []
    for synapses, pool in layers:
        numbers = [step for step in synapses.steps if step.weight is not None]
        weights += [s.weight.T if s.kind == "linear" else s.weight for s in numbers]
        biases += [torch.zeros(_n_biases(s)) if s.bias is None else s.bias for s in numbers]
        steps = [{"kind": step.kind} | _plain(step.settings) for step in synapses.steps]
        pools = [] if pool is None else [_of_pool(module) for module in leaves(pool.module)]
        inputs = synapses.shape if pool is None else pool.shape
        shapes = {"inputs": list(inputs), "pooled": list(synapses.shape)}
        found.append(shapes | {"pools": pools, "steps": steps})
    return found, weights, biases


def layers_of(
    descriptions, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> Iterator[tuple[Affine, MaxPool | None]]:
    """Yield the layers that a file describes; InputError if they are none."""
    if not isinstance(descriptions, list | tuple) or not descriptions:
        raise InputError("layers is not a list of layers")
    numbers = iter(zip(weights, biases, strict=True))
    for n, layer in enumerate(descriptions, start=1):
        try:
            yield _layer(layer, numbers)
        except (InputError, RuntimeError, ValueError, IndexError, TypeError, KeyError) as error:
            what = " ".join(str(error).split())[:100]
            raise InputError(f"layer {n} is not described as a layer: {what}") from error
    if next(numbers, None) is not None:
        raise InputError("it has more arrays than its layers name")


def _layer(layer: dict, numbers: Iterator) -> tuple[Affine, MaxPool | None]:
    """Return the layer that is described, with the next arrays in its steps."""
    if not isinstance(layer, dict) or set(layer) != {"inputs", "pools", "pooled", "steps"}:
        raise InputError("it has not just inputs, pools, pooled and steps")
    (shape, pooled), pool = (_shape(layer[key]) for key in ("inputs", "pooled")), None
    pools, steps = (_dicts(layer[key]) for key in ("pools", "steps"))
    for description in pools:
        if set(description) != {"dimensions", *POOL} or len(pools) > MOST_POOLS:
            raise InputError(f"it has an unknown maximum, or more than {MOST_POOLS}")
        settings = {key: _setting(key, value) for key, value in description.items()}
        module = POOLS[settings.pop("dimensions")](**settings)
        pool = MaxPool(module, shape) if pool is None else pool.then(module)
    if math.prod(pooled) != math.prod(shape if pool is None else pool.shape_out):
        raise InputError(f"its synapses take {pooled}, and there is something else")
    synapses = Affine((), pooled)
    for description in steps:
        synapses = Affine([*synapses.steps, _step(description, numbers)], synapses.shape)
        _small(synapses.shape_on("meta"))
    synapses.shape_out  # noqa: B018, it tries the steps: old torch lets more pass on "meta"
    return synapses, pool


def _step(description: dict, numbers: Iterator) -> Step:
    """Return the step that is described, with the next arrays if it has numbers."""
    kind = description["kind"]
    if not isinstance(kind, str) or set(description) != {"kind", *SETTINGS[kind]}:
        raise InputError(f"its step {str(kind)[:20]!r} is unknown, or has other settings")
    settings = {key: _setting(key, description[key]) for key in description if key != "kind"}
    if kind not in DIMENSIONS:
        return Step(kind, settings=settings)
    weight, bias = next(numbers, (None, None))
    if weight is None or weight.ndim != DIMENSIONS[kind]:
        raise InputError(f"it has no array that is a {kind}'s")
    step = Step(kind, weight.T if kind == "linear" else weight, bias, settings)
    if len(bias) != _n_biases(step):
        raise InputError(f"it has {len(bias)} biases for {_n_biases(step)} outputs")
    return step


def _n_biases(step: Step) -> int:
    """Return how many biases a step has: one per output channel."""
    return len(step.weight)


def _of_pool(module: nn.Module) -> dict:
    """Return the description of a maximum."""
    dimensions = {kind: n for n, kind in POOLS.items()}[type(module)]
    return {"dimensions": dimensions} | _plain({key: getattr(module, key) for key in POOL})


def _plain(settings: dict) -> dict:
    """Return settings with lists for tuples, as JSON has them too."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}


def _dicts(value) -> list[dict]:
    """Return a list of dicts; InputError if it is none."""
    if isinstance(value, list | tuple) and all(isinstance(part, dict) for part in value):
        return value
    raise InputError(f"{str(value)[:20]!r} is no list of descriptions")


def _setting(key: str, value):
    """Return a setting, with tuples for lists; InputError unless it is what its name says."""
    flag, word = key in FLAGS and isinstance(value, bool), key in WORDS and value in WORDS[key]
    if flag or word:
        return value
    values = value if isinstance(value, list | tuple) else [value]
    limits = range(SMALLEST.get(key, 1), LARGEST)
    if key in FLAGS or len(values) > 2 or not all(type(n) is int and n in limits for n in values):
        raise InputError(f"{key} is {str(value)[:20]!r}")
    return tuple(values) if isinstance(value, list | tuple) else value


def _shape(value) -> tuple[int, ...]:
    """Return the shape of a layer's inputs; InputError if it is none."""
    shape = tuple(value) if isinstance(value, list | tuple) else ()
    if not 1 <= len(shape) <= 3 or not all(type(n) is int and n > 0 for n in shape):
        raise InputError(f"{str(value)[:20]!r} is no shape of inputs")
    return _small(shape)


def _small(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape; InputError if it is that of more neurons than a layer may have."""
    if math.prod(shape) > MOST_NEURONS:
        raise InputError(f"{math.prod(shape):,} neurons are more than {MOST_NEURONS:,}")
    return shape
