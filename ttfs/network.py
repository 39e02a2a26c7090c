"""The ReLU network that is converted: its layers, and the reference every simulator must meet."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ttfs import InputError
from ttfs.affine import Affine, MaxPool
from ttfs.coding import flat_batch
from ttfs.torch_model import TOLERANCE, aligned, check, difference

ROWS = 1000  # of a matrix, looked at together
BATCH = 1000  # images at a time, to bound memory


@dataclass(frozen=True)
class Layer:
    """One weight layer: the read-out is the last."""

    synapses: Affine
    pool: MaxPool | None = None  # of the inputs, before the synapses
    made_of: str = ""  # modules of a torch model

    def received(self, x: Tensor) -> Tensor:
        """Return what reaches the synapses of the inputs x, (n_batch, n_in): the pooled ones."""
        return x if self.pool is None else self.pool(x)

    def drive(self, x: Tensor) -> Tensor:
        """Return W x + b, (n_batch, n_out), of the inputs x, (n_batch, n_in)."""
        return self.synapses(self.received(x))

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return (self.pool or self.synapses).n_in


class ReluNetwork:
    """A feed-forward network: ReLU after every layer but the last.

    Parameters
    ----------
    weights : sequence of (n_in, n_out) arrays, dimensionless
        One per layer; each layer's ``n_in`` is the previous layer's ``n_out``.
    biases : sequence of (n_out,) arrays, dimensionless
        One per layer. All are copied, and a torch module's parameters leave its graph.

    Raises
    ------
    InputError
        If an array is not numeric, not finite, or does not fit the layer before it.

    """

    def __init__(self, weights: Sequence, biases: Sequence = ()) -> None:
        if isinstance(weights, nn.Module | dict):
            checked_network(weights)
        checked_sizes(weights, biases)
        pairs = zip(map(own_tensor, weights), map(own_tensor, biases), strict=True)
        self.layers = tuple(Layer(Affine.dense(weight, bias)) for weight, bias in pairs)

    @classmethod
    def of_layers(cls, layers: Sequence[Layer]) -> "ReluNetwork":
        """Return the network of these layers, whatever their synapses."""
        if not layers:
            raise InputError("a network needs at least one layer")
        network = cls.__new__(cls)
        network.layers = tuple(layers)
        sizes = network.architecture
        for n, (layer, size) in enumerate(zip(layers, sizes, strict=False), start=1):
            if layer.n_in != size:
                raise InputError(f"layer {n} takes {layer.n_in} inputs; there are {size}")
        return network

    @classmethod
    def from_torch(
        cls, model: nn.Module, input_shape: int | Sequence[int] | None = None
    ) -> "ReluNetwork":
        """Return the network that does what a torch model does in eval mode.

        The model is an ``nn.Sequential``, nested or not, of Linear, Conv1d, Conv2d, BatchNorm1d,
        BatchNorm2d, AvgPool, AdaptiveAvgPool to 1, MaxPool, Flatten, Dropout, Identity and ReLU,
        and torchvision's Normalize. It stays as it is. ``print(network)`` shows what became of it;
        ``ttfs.torch_model.check`` says it of a model without converting it.

        Parameters
        ----------
        model : nn.Module
            Of inputs in [0, 1].
        input_shape : int or sequence of int
            Of one input, without the batch, such as 784 or (1, 28, 28). None: the first module is
            Linear, and says it.

        Raises
        ------
        InputError
            If any module cannot be converted exactly; all such are named, with a remedy.

        """
        report = check(model, input_shape)
        if report.faults:
            raise InputError(f"the model cannot be converted: {'; '.join(report.faults)}")
        network = cls.of_layers([Layer(*layer) for layer in report.layers])
        found = difference(model, network.logits, report.input_shape)
        if not found <= TOLERANCE:
            raise InputError(
                f"the model does something else than its modules say: logits differ by {found:.0e}"
            )
        return network

    def __repr__(self) -> str:
        return aligned([LAYER_COLUMNS, *layer_rows(self.layers)])

    @property
    def architecture(self) -> list[int]:
        """Layer sizes from the input to the output, such as [784, 400, 10]."""
        return [self.layers[0].n_in] + [layer.synapses.n_out for layer in self.layers]

    @property
    def depth(self) -> int:
        """Number of weight layers, hidden + output."""
        return len(self.layers)

    @property
    def is_fully_connected(self) -> bool:
        """Whether every layer is one matrix."""
        return all(layer.synapses.is_dense and layer.pool is None for layer in self.layers)

    @property
    def weights(self) -> list[Tensor]:
        """The layers' (n_in, n_out) weights."""
        return [layer.synapses.matrix() for layer in self.layers]

    @property
    def biases(self) -> list[Tensor]:
        """The layers' (n_out,) biases."""
        return [layer.synapses.bias() for layer in self.layers]

    def mapped(self, change: Callable[[Affine], Affine]) -> "ReluNetwork":
        """Return the network with every layer's synapses changed."""
        layers = self.layers
        return self.of_layers([replace(la, synapses=change(la.synapses)) for la in layers])

    def changed(self, number: Callable[[Tensor], Tensor]) -> "ReluNetwork":
        """Return the network with every tensor of weights or biases changed."""
        return self.mapped(lambda synapses: synapses.changed(number, number))

    @property
    def numbers(self) -> list[Tensor]:
        """All tensors of weights and biases, as their layers keep them."""
        steps = [step for layer in self.layers for step in layer.synapses.steps]
        numbers = (number for step in steps for number in (step.weight, step.bias))
        return [number for number in numbers if number is not None]

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return every hidden layer's activations max(0, W x + b), and the logits.

        ``x`` is (n_batch, n_in), or (n_batch, *shape) with as many values; its dtype and device
        decide those of the computation.
        """
        x, n_in = flat_batch(x), self.layers[0].n_in
        if not x.is_floating_point() or x.ndim != 2 or x.shape[1] != n_in:
            raise InputError(
                f"the input is {x.dtype} of shape {tuple(x.shape)}, not floating and "
                f"(n_batch, {n_in})"
            )
        activations = []
        for layer in self.layers[:-1]:
            x = layer.drive(x).relu()
            activations.append(x)
        return activations, self.layers[-1].drive(x)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the hidden layers' activations, one (n_batch, n_out) tensor per layer."""
        return self.forward(x)[0]

    def logits(self, x: Tensor) -> Tensor:
        """Return the output layer's (n_batch, n_classes) logits; activations are not kept."""
        parts = torch.as_tensor(x).split(BATCH)
        return torch.cat([self.forward(part)[1] for part in parts]) if parts else self.forward(x)[1]


LAYER_COLUMNS = ("layer", "made of", "inputs", "neurons", "synapses")


def layer_rows(layers: Sequence[Layer]) -> list[tuple[str, ...]]:
    """Return a row of LAYER_COLUMNS per layer, for people to read."""
    rows = []
    for n, layer in enumerate(layers, start=1):
        name = "read-out" if n == len(layers) else f"{n}"
        what = layer.made_of or ("full connections" if layer.synapses.is_dense else "a chain")
        what += "" if layer.pool is None else ", after a maximum"
        sizes = (layer.n_in, layer.synapses.n_out, layer.synapses.n_synapses)
        rows.append((name, what, *(f"{size:,}" for size in sizes)))
    return rows


def checked_network(network) -> ReluNetwork:
    """Return the network; InputError, with the call that makes one, if it is something else."""
    if not isinstance(network, ReluNetwork):
        raise InputError(
            f"{type(network).__name__} is not a ReluNetwork; of a torch model, "
            f"ReluNetwork.from_torch(model, input_shape) makes one"
        )
    return network


def random_network(sizes: Sequence[int], seed: int) -> ReluNetwork:
    """Return an untrained network: He-normal float32 weights, standard deviation sqrt(2 / n_in)."""
    generator = torch.Generator().manual_seed(seed)
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    weights = [torch.randn(a, b, generator=generator) * (2 / a) ** 0.5 for a, b in pairs]
    return ReluNetwork(weights, [torch.zeros(size) for size in sizes[1:]])


def unstandardised(network: ReluNetwork, mean: float, deviation: float) -> ReluNetwork:
    """Return the network of raw pixels that does what this one does with standardised pixels.

    (x - mean) / deviation @ W + b = x @ (W / deviation) + (b - mean / deviation sum_j W_ji). The
    deviation is positive: the largest of a group of pixels, which a pool takes, stays the largest.
    """
    if not 0 < deviation < math.inf or not math.isfinite(mean):
        raise InputError(f"mean {mean} and deviation {deviation}: the deviation must be positive")
    first, *others = checked_network(network).layers
    raw = replace(first, synapses=first.synapses.of_raw_inputs(mean, deviation))
    return ReluNetwork.of_layers([raw, *others])


def check_arrays(weights: Sequence, biases: Sequence) -> None:
    """Raise InputError unless there are as many of each, numeric, finite and not empty."""
    if len(weights) != len(biases):
        raise InputError(f"{len(weights)} weight arrays and {len(biases)} bias arrays")
    for n, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        _checked_shape(weight, f"weights[{n}]", range(1, 5))
        _checked_shape(bias, f"biases[{n}]", [1])


def checked_sizes(weights: Sequence, biases: Sequence) -> list[int]:
    """Return the layer sizes of arrays that make a network; InputError if they do not.

    Nothing is copied: what is refused has cost no memory.
    """
    if len(weights) == 0 or len(weights) != len(biases):
        raise InputError(f"{len(weights)} weight arrays and {len(biases)} bias arrays")
    shapes = [_checked_shape(w, f"weights[{n}]", [2]) for n, w in enumerate(weights)]
    sizes = [_checked_shape(b, f"biases[{n}]", [1])[0] for n, b in enumerate(biases)]
    _check_chain(shapes, sizes)
    return [shapes[0][0], *sizes]


def _check_chain(shapes: list[tuple[int, int]], sizes: list[int]) -> None:
    """Raise InputError unless each layer takes what the one before it gives."""
    n_in = shapes[0][0]
    for n, (shape, size) in enumerate(zip(shapes, sizes, strict=True), start=1):
        if tuple(shape) == (n_in, size):
            n_in = size
            continue
        turned = [tuple(reversed(shape)) for shape in shapes]
        chain = [turned[0][0], *sizes]
        if turned == list(zip(chain, sizes, strict=False)):
            raise InputError("weights are (n_in, n_out), these (n_out, n_in): give each one's .T")
        raise InputError(
            f"layer {n} does not chain: {n_in} inputs, weights {tuple(shape)}, "
            f"{size} biases; weights are (n_in, n_out)"
        )


def _as_array(array) -> Tensor | np.ndarray:
    """Return the array as it is, or an array of the numbers in lists."""
    return array if isinstance(array, Tensor) else np.asarray(array)


def _checked_shape(array, name: str, ndims: Sequence[int]) -> tuple[int, ...]:
    """Return an array's shape, after checking kind, dimensions, size and finiteness."""
    if isinstance(array, nn.Module):
        checked_network(array)
    try:
        array = _as_array(array)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{name} is not an array: {error}") from error
    if isinstance(array, Tensor):
        array = array.detach()
        if not array.is_floating_point():
            raise InputError(f"{name} is not real and floating: dtype {array.dtype}")
    elif array.dtype.kind not in "fiu":
        raise InputError(f"{name} is not numeric: dtype {array.dtype}")
    elif array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if array.ndim not in ndims or 0 in array.shape:
        wanted = f"{ndims[0]}" if len(ndims) == 1 else f"{ndims[0]} to {ndims[-1]}"
        raise InputError(
            f"{name} has shape {tuple(array.shape)}, not {wanted} non-empty dimensions"
        )
    rows = array[None] if array.ndim == 1 else array
    for block in (rows[n : n + ROWS] for n in range(0, len(rows), ROWS)):
        finite = torch.isfinite if isinstance(block, Tensor) else np.isfinite
        if not finite(block).all():
            raise InputError(f"{name} holds NaN or infinite values")
    return tuple(array.shape)


def own_tensor(array) -> Tensor:
    """Return a floating tensor with a copy of the numbers, in this machine's byte order."""
    array = _as_array(array)
    if isinstance(array, Tensor):
        own = array.is_leaf and not isinstance(array, nn.Parameter)
        return (array if own else array.detach()).clone()
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind in "iu":
        dtype = np.float32 if dtype.itemsize <= 2 else np.float64
    elif dtype.itemsize > 8:
        dtype = np.float64
    return torch.from_numpy(array.astype(dtype))
