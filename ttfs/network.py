"""The ReLU network that is converted: plain arrays, and the reference every simulator must meet."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ttfs.errors import InputError


class ReluNetwork:
    """A multilayer perceptron: ReLU after every layer but the last.

    Parameters
    ----------
    weights : sequence of (n_in, n_out) arrays, dimensionless
        One a layer; each layer's ``n_in`` is the previous layer's ``n_out``.
    biases : sequence of (n_out,) arrays, dimensionless
        One a layer.

    Raises
    ------
    InputError
        If an array is not numeric, not finite, or does not fit the layer before it.

    """

    def __init__(self, weights: Sequence, biases: Sequence) -> None:
        if len(weights) == 0 or len(weights) != len(biases):
            raise InputError(f"{len(weights)} weight arrays and {len(biases)} bias arrays")
        self.weights = [_float_tensor(w, f"weights[{n}]", 2) for n, w in enumerate(weights)]
        self.biases = [_float_tensor(b, f"biases[{n}]", 1) for n, b in enumerate(biases)]
        n_in = self.weights[0].shape[0]
        for n, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.shape[0] != n_in or weight.shape[1] != bias.shape[0]:
                raise InputError(
                    f"layer {n + 1} does not chain: {n_in} inputs, weights {tuple(weight.shape)}, "
                    f"{bias.shape[0]} biases; weights are (n_in, n_out)"
                )
            n_in = weight.shape[1]

    @property
    def architecture(self) -> list[int]:
        """Layer sizes from the input to the output, such as [784, 400, 10]."""
        return [self.weights[0].shape[0]] + [weight.shape[1] for weight in self.weights]

    @property
    def depth(self) -> int:
        """Number of weight layers, hidden + output."""
        return len(self.weights)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return every hidden layer's activations max(0, x @ W + b), and the logits.

        ``x`` is (n_batch, n_in); its dtype and device decide those of the computation.
        """
        x = torch.as_tensor(x)
        if not x.is_floating_point() or x.shape[-1] != self.architecture[0]:
            raise InputError(
                f"the input is {x.dtype} of shape {tuple(x.shape)}, not floating and "
                f"(n_batch, {self.architecture[0]})"
            )
        activations = []
        for n in range(self.depth - 1):
            x = self.preactivation(n, x).relu()
            activations.append(x)
        return activations, self.preactivation(self.depth - 1, x)

    def preactivation(self, n: int, x: Tensor) -> Tensor:
        """Return x @ W + b of weight layer n, counted from 0."""
        return F.linear(x, self.weights[n].to(x).T, self.biases[n].to(x))

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the hidden layers' activations, a (n_batch, n_out) tensor each."""
        return self.forward(x)[0]

    def logits(self, x: Tensor) -> Tensor:
        """Return the output layer's (n_batch, n_classes) logits."""
        return self.forward(x)[1]


def random_network(sizes: Sequence[int], seed: int) -> ReluNetwork:
    """Return an untrained network: He-normal float32 weights, standard deviation sqrt(2 / n_in)."""
    generator = torch.Generator().manual_seed(seed)
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    weights = [torch.randn(a, b, generator=generator) * (2 / a) ** 0.5 for a, b in pairs]
    return ReluNetwork(weights, [torch.zeros(size) for size in sizes[1:]])


def _float_tensor(array, name: str, ndim: int) -> Tensor:
    """Return the array as a floating tensor, checked for kind, dimensions, size and finiteness."""
    if not isinstance(array, Tensor):
        try:
            array = np.asarray(array)
        except ValueError as error:  # rows of different lengths
            raise InputError(f"{name} is not an array: {error}") from error
        if array.dtype.kind not in "fiu":
            raise InputError(f"{name} is not numeric: dtype {array.dtype}")
        if array.dtype.kind in "iu" or array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        array = torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    if not array.is_floating_point():
        raise InputError(f"{name} is not real and floating: dtype {array.dtype}")
    if array.ndim != ndim or 0 in array.shape:
        raise InputError(f"{name} has shape {tuple(array.shape)}, not {ndim} non-empty dimensions")
    if not torch.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite values")
    return array
