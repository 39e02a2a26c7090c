"""A layer's synapses: x -> W x + b, for any chain of torch modules that amounts to that.

Only this file knows shapes, kernels and pools. Everywhere else a layer is flat: (n_batch, n).
What is needed of W beside W x comes from applying the same chain with other numbers::

    b                 the chain at 0
    sum_j f(W_ij)     the chain with weights f(W) and no biases, at 1
    W                 the chain without biases, at the identity
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttfs import InputError


class Step(NamedTuple):
    """One affine operation of a chain: y = apply(x, weight, bias), linear in both."""

    apply: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
    weight: Tensor | None  # None: a mean, or a change of shape
    bias: Tensor | None
    terms: int  # that are added up in one of its outputs


class Affine:
    """The synapses of a layer: ``steps``, one after the other, on inputs of ``shape``."""

    def __init__(self, steps: Sequence[Step], shape: Sequence[int]) -> None:
        self.steps, self.shape = tuple(steps), tuple(shape)

    @classmethod
    def dense(cls, weight: Tensor, bias: Tensor) -> "Affine":
        """Return full connections: ``weight`` is (n_in, n_out), ``bias`` (n_out,)."""
        return cls([Step(F.linear, weight.T, bias, len(weight))], [len(weight)])

    @classmethod
    def of(cls, module: nn.Module, shape: Sequence[int]) -> "Affine":
        """Return what a torch module does, in eval mode, to inputs of ``shape`` (no batch)."""
        synapses = cls(_steps(module), shape)
        try:
            synapses(synapses._like_inputs(torch.zeros))
        except (RuntimeError, ValueError, IndexError) as error:
            raise InputError(
                f"{module} takes no inputs of shape {tuple(shape)}: {error}"
            ) from error
        return synapses

    def __call__(self, x: Tensor) -> Tensor:
        """Return W x + b, (n_batch, n_out), of x, (n_batch, n_in), in the dtype of x."""
        y = x.unflatten(1, self.shape) if len(self.shape) > 1 else x
        for step in self.steps:
            weight, bias = (v if v is None else v.to(x) for v in (step.weight, step.bias))
            y = step.apply(y, weight, bias)
        y = y.flatten(1)
        return y.clone() if y.data_ptr() == x.data_ptr() else y  # never the inputs themselves

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether this is one step of full connections, with a bias."""
        if len(self.steps) != 1 or len(self.shape) != 1:
            return False
        return self.steps[0].apply is F.linear and self.steps[0].bias is not None

    @property
    def roundings(self) -> int:
        """Rounded operations on a term: each step's weight, product, additions, and one more."""
        return sum(step.terms + 3 for step in self.steps)

    def bias(self) -> Tensor:
        """Return b, (n_out,): as it is kept if dense, else in float64."""
        return self.steps[0].bias if self.is_dense else self(self._like_inputs(torch.zeros))[0]

    def matrix(self) -> Tensor:
        """Return W as (n_in, n_out): as it is kept if dense, else in float64."""
        if self.is_dense:
            return self.steps[0].weight.T
        identity = torch.diag(self._like_inputs(torch.ones)[0])
        return self.changed(lambda weight: weight)(identity)

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
            steps.append(Step(_scale, torch.tensor([gain], dtype=torch.float64), None, 1))
        return Affine(steps, self.shape)

    def normalised(self, norm: nn.BatchNorm1d) -> "Affine":
        """Return full connections that do what these and then a normalisation in eval mode do."""
        steps = _steps(nn.Sequential(nn.Flatten(), norm))
        chain = Affine([*self.steps, *steps], self.shape)
        return Affine.dense(*(v.to(norm.weight.dtype) for v in (chain.matrix(), chain.bias())))

    def of_raw_inputs(self, mean: float, deviation: float) -> "Affine":
        """Return x -> W (x - mean) / deviation + b in float64."""
        if self.is_dense:
            weight = self.matrix().double() / deviation
            return Affine.dense(weight, self.bias().double() - mean * weight.sum(0))
        numbers = torch.tensor([[1.0], [-mean]], dtype=torch.float64) / deviation
        chain = self.changed(Tensor.double, Tensor.double)
        return Affine([Step(_scale, *numbers, 1), *chain.steps], self.shape)


@dataclass(frozen=True)
class MaxPool:
    """Max-pooling of times left, exact: the earliest spike of a group has the most time left."""

    module: nn.MaxPool1d | nn.MaxPool2d
    shape: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the largest value of each group, (n_batch, n_groups)."""
        return self.module(x.unflatten(1, self.shape)).flatten(1)

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return math.prod(self.shape)


def _steps(module: nn.Module) -> list[Step]:
    """Return the steps of a module; InputError if it is not known to be affine."""
    match module:
        case nn.Sequential():
            return [step for child in module for step in _steps(child)]
        case nn.Linear():
            return [Step(F.linear, *_numbers(module), module.in_features)]
        case nn.Conv1d() | nn.Conv2d() if module.padding_mode == "zeros":
            function = F.conv1d if isinstance(module, nn.Conv1d) else F.conv2d
            geometry = ("stride", "padding", "dilation", "groups")
            apply = partial(function, **{name: getattr(module, name) for name in geometry})
            return [Step(apply, *_numbers(module), module.weight[0].numel())]
        case nn.BatchNorm1d() | nn.BatchNorm2d() if module.running_mean is not None:
            return [_normalisation(module)]
        case nn.AvgPool1d() | nn.AvgPool2d():
            dimensions = 2 if isinstance(module, nn.AvgPool2d) else 1
            terms = int(np.broadcast_to(module.kernel_size, dimensions).prod())
            return [Step(partial(_reshape, module), None, None, terms)]
        case nn.Flatten(start_dim=1):
            return [Step(partial(_reshape, module), None, None, 0)]
        case nn.Dropout() | nn.Identity():  # in eval mode both return their input
            return []
    raise InputError(f"{module} is not known to be affine: it cannot be synapses")


def _numbers(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return a module's weight and bias, apart from its own graph."""
    return module.weight.detach(), None if module.bias is None else module.bias.detach()


def _normalisation(module: nn.BatchNorm1d | nn.BatchNorm2d) -> Step:
    """Return y = gamma (x - mean) / sqrt(variance + eps) + beta , by channel."""
    weight = (module.running_var.double() + module.eps).rsqrt()
    bias = -module.running_mean.double() * weight
    if module.affine:
        gamma, beta = (number.double() for number in _numbers(module))
        weight, bias = gamma * weight, gamma * bias + beta
    return Step(_scale, weight, bias, 1)


def _scale(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return weight x + bias, by channel: the dimension after the batch's."""
    channels = (-1,) + (1,) * (x.ndim - 2)
    x = x * weight.view(channels)
    return x if bias is None else x + bias.view(channels)


def _reshape(module: nn.Module, x: Tensor, *_) -> Tensor:
    """Return what a module without numbers does."""
    return module(x)
