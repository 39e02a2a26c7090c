"""A layer's synapses: x -> W x + b, for any chain of torch modules that amounts to that.

Only this file and ``steps`` know shapes, kernels and pools. Everywhere else a layer is flat,
(n_batch, n). What is needed of W beside W x comes from applying the same chain with other numbers::

    b                 the chain at 0
    sum_j f(W_ij)     the chain with weights f(W) and no biases, at 1
    W                 the chain without biases, at the identity
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttfs import InputError
from ttfs.steps import WEIGHTED, Step, leaves, step_of

MOST_DENSE = 2**24  # numbers of a matrix that is kept whole: 128 MB in float64
BLOCK = 2**24  # numbers of a matrix made at a time


class Affine:
    """The synapses of a layer: ``steps``, one after the other, on inputs of ``shape``."""

    def __init__(self, steps: Sequence[Step], shape: Sequence[int]) -> None:
        self.steps, self.shape = tuple(steps), tuple(shape)

    @classmethod
    def dense(cls, weight: Tensor, bias: Tensor) -> "Affine":
        """Return full connections: ``weight`` is (n_in, n_out), ``bias`` (n_out,)."""
        return cls([Step("linear", weight.T, bias)], [len(weight)])

    @classmethod
    def of(cls, module: nn.Module, shape: Sequence[int]) -> "Affine":
        """Return what a torch module does, in eval mode, to inputs of ``shape`` (no batch)."""
        synapses = cls((), shape)
        for part in leaves(module):
            synapses = synapses.then(part)
        return synapses

    def then(self, module: nn.Module) -> "Affine":
        """Return these synapses followed by one more module, in eval mode.

        InputError if it is not known to be affine, or takes no inputs of the shape that there is.
        """
        step = step_of(module, self.shape_out)
        if step is None:
            return self
        synapses = Affine([*self.steps, step], self.shape)
        try:
            synapses.shape_out  # noqa: B018, a cached property: it tries the step
        except (RuntimeError, ValueError, IndexError) as error:
            raise InputError(
                f"{module} takes no inputs of shape {tuple(self.shape_out)}: {error}"
            ) from error
        return synapses

    def __call__(self, x: Tensor) -> Tensor:
        """Return W x + b, (n_batch, n_out), of x, (n_batch, n_in), in the dtype of x."""
        y = self._shaped(x).flatten(1)
        return y.clone() if y.data_ptr() == x.data_ptr() else y  # never the inputs themselves

    def _shaped(self, x: Tensor) -> Tensor:
        """Return W x + b, (n_batch, *shape_out)."""
        y = x.unflatten(1, self.shape) if len(self.shape) > 1 else x
        for step in self.steps:
            weight, bias = (v if v is None else v.to(x) for v in (step.weight, step.bias))
            y = step.apply(y, weight, bias)
        return y

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return math.prod(self.shape)

    @cached_property
    def shape_out(self) -> tuple[int, ...]:
        """The shape of one output, before it is made flat: (n_channels, height, width), say."""
        return self.shape_on("cpu")

    def shape_on(self, device: str) -> tuple[int, ...]:
        """Return the shape of one output, tried on a device; on "meta" it takes no memory."""
        return tuple(self._shaped(torch.zeros(1, self.n_in, device=device)).shape[1:])

    @property
    def n_out(self) -> int:
        """Number of outputs, the layer's neurons."""
        return math.prod(self.shape_out)

    @property
    def is_dense(self) -> bool:
        """Whether this is one step of full connections, with a bias."""
        if len(self.steps) != 1 or len(self.shape) != 1:
            return False
        return self.steps[0].kind == "linear" and self.steps[0].bias is not None

    @property
    def roundings(self) -> int:
        """Rounded operations on a term: each step's weight, product, additions, and one more."""
        return sum(step.terms + 3 for step in self.steps)

    def bias(self) -> Tensor:
        """Return b, (n_out,): as it is kept if dense, else in float64."""
        return self.steps[0].bias if self.is_dense else self(self._like_inputs(torch.zeros))[0]

    def matrix(self) -> Tensor:
        """Return W as (n_in, n_out): as it is kept if dense, else in float64.

        InputError if it would take more than MOST_DENSE numbers; ``sparse_rows`` takes fewer.
        """
        if self.is_dense:
            return self.steps[0].weight.T
        if not self.is_small:
            raise InputError(
                f"a matrix of {self.n_in:,} x {self.n_out:,} takes too much memory: "
                f"sparse_rows() keeps what is not 0"
            )
        return torch.cat(list(self.row_blocks()))

    @property
    def n_synapses(self) -> int:
        """Number of connections, from an input to an output."""
        kinds = [step.kind for step in self.steps]
        if sum(kind in WEIGHTED for kind in kinds) < 2 and not {"mean1d", "mean2d"} & {*kinds}:
            return int(self.sums(torch.ones_like).sum())
        return sum(int((block != 0).sum()) for block in self.row_blocks())

    @property
    def is_small(self) -> bool:
        """Whether W is kept as a matrix anyway, or takes no more than MOST_DENSE numbers as one."""
        return self.is_dense or self.n_in * self.n_out <= MOST_DENSE

    def sparse_rows(self) -> tuple[Tensor, Tensor]:
        """Return where W is not 0, and what it is there: (n_in, k) columns, and float64 values.

        k is the largest number of neurons that an input reaches; shorter rows end in zeros, at
        column 0.
        """
        rows = [_compressed(block) for block in self.row_blocks()]
        k = max(columns.shape[1] for columns, _ in rows)
        padded = (
            [F.pad(part, (0, k - part.shape[1])) for part in parts]
            for parts in zip(*rows, strict=True)
        )
        columns, values = map(torch.cat, padded)
        return columns, values

    def row_blocks(self) -> Iterator[Tensor]:
        """Yield W, float64, in blocks of rows, one per input, of at most BLOCK numbers or a row.

        A lone weight times 1 is exact in float32, where torch convolves seven times faster.
        """
        chain, ones = self.changed(lambda weight: weight), self._like_inputs(torch.ones)[0]
        if len(self.steps) == 1 and self.steps[0].weight is not None:
            weight = self.steps[0].weight
            ones = ones.float() if torch.equal(weight.float().to(weight), weight) else ones
        n_rows = max(1, BLOCK // self.n_out)
        for first in range(0, self.n_in, n_rows):
            rows = ones[first : first + n_rows]
            block = rows.new_zeros(len(rows), self.n_in)
            block.diagonal(first).copy_(rows)
            yield chain(block).double()

    def sums(self, weight: Callable[[Tensor], Tensor] = lambda weight: weight) -> Tensor:
        """Return sum_j f(W_ij), (n_out,) float64; for a chain |W2 W1| is taken as |W2| |W1|."""
        return self.changed(weight)(self._like_inputs(torch.ones))[0]

    def _like_inputs(self, values: Callable) -> Tensor:
        """Return one row of inputs, (1, n_in) float64, where the weights are."""
        devices = [step.weight.device for step in self.steps if step.weight is not None]
        return values(1, self.n_in, dtype=torch.float64, device=devices[0] if devices else None)

    def changed(
        self,
        weight: Callable[[Tensor], Tensor],
        bias: Callable[[Tensor], Tensor] = torch.zeros_like,
    ) -> "Affine":
        """Return the same connections with other numbers: every step's weight and bias mapped."""
        steps = [
            step._replace(
                weight=None if step.weight is None else weight(step.weight),
                bias=None if step.bias is None else bias(step.bias),
            )
            for step in self.steps
        ]
        return Affine(steps, self.shape)

    def rescaled(self, before: float, after: float) -> "Affine":
        """Return x -> (W (before x) + b) / after in float64: other units for inputs and outputs."""
        chain = self.changed(Tensor.double, lambda bias: bias.double() / after)
        steps, gain = list(chain.steps), before / after
        weighted = [n for n, step in enumerate(steps) if step.weight is not None]
        if weighted:
            first = weighted[0]
            steps[first] = steps[first]._replace(weight=steps[first].weight * gain)
        else:
            steps.append(Step("scale", torch.tensor([gain], dtype=torch.float64)))
        return Affine(steps, self.shape)

    def simplified(self) -> "Affine":
        """Return the same in fewer steps, with scales multiplied into weights before them, float64.

        Inputs are flat anyway: what makes them flat at first is left out.
        """
        steps, shape = [], self.shape
        for step in self.steps:
            if step.kind == "flatten" and not steps:
                shape = Affine([step], shape).shape_out
                continue
            is_last = steps and (steps[-1].kind in WEIGHTED[1:] or len(shape) == 1)
            if step.kind == "scale" and is_last and steps[-1].kind in WEIGHTED:
                before, gain = steps.pop(), step.weight.double()
                weight = before.weight.double() * gain.view(-1, *[1] * (before.weight.ndim - 1))
                bias = torch.zeros_like(gain) if step.bias is None else step.bias.double()
                if before.bias is not None:
                    bias = before.bias.double() * gain + bias
                step = before._replace(weight=weight, bias=bias.expand(len(weight)))
            steps.append(step)
        return Affine(steps, shape)

    def normalised(self, norm: nn.BatchNorm1d) -> "Affine":
        """Return full connections that do what these and then a normalisation in eval mode do."""
        found, dtype = self.then(norm).simplified(), norm.weight.dtype
        return Affine.dense(found.matrix().to(dtype), found.bias().to(dtype))

    def of_raw_inputs(self, mean: float, deviation: float) -> "Affine":
        """Return x -> W (x - mean) / deviation + b in float64."""
        if self.is_dense:
            weight = self.matrix().double() / deviation
            return Affine.dense(weight, self.bias().double() - mean * weight.sum(0))
        numbers = torch.tensor([[1.0], [-mean]], dtype=torch.float64) / deviation
        chain = self.changed(Tensor.double, Tensor.double)
        return Affine([Step("scale", *numbers), *chain.steps], self.shape)


@dataclass(frozen=True)
class MaxPool:
    """Max-pooling of times left, exact: the earliest spike of a group has the most time left."""

    module: nn.Module  # MaxPool1d, MaxPool2d, or a Sequential of them
    shape: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the largest value of each group, (n_batch, n_groups)."""
        return self.module(x.unflatten(1, self.shape)).flatten(1)

    def then(self, module: nn.MaxPool1d | nn.MaxPool2d) -> "MaxPool":
        """Return this and then one more."""
        return MaxPool(nn.Sequential(*leaves(self.module), module), self.shape)

    @property
    def shape_out(self) -> tuple[int, ...]:
        """The shape of one output."""
        return tuple(self.module(torch.zeros(1, *self.shape)).shape[1:])

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return math.prod(self.shape)


def _compressed(block: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places and values of what is not 0 in each row, shorter rows padded with zeros."""
    row, column = (block != 0).nonzero(as_tuple=True)
    counts = row.bincount(minlength=len(block))
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    columns = column.new_zeros(len(block), int(counts.max()))
    values = block.new_zeros(columns.shape)
    columns[row, place], values[row, place] = column, block[row, column]
    return columns, values
