"""The affine operations that synapses are made of, and which of them a torch module is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttfs import InputError

WEIGHTED = ("linear", "conv1d", "conv2d")  # operations with a matrix or a kernel


class Step(NamedTuple):
    """One affine operation of a chain, linear in its weight and bias, and in x."""

    kind: str  # one of OPERATIONS
    weight: Tensor | None = None  # None: a mean, or a change of shape
    bias: Tensor | None = None
    settings: dict = {}  # a convolution's stride ..., a mean's kernel_size ...: torch's own words

    def apply(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Return what the operation does to x with these numbers."""
        return OPERATIONS[self.kind](x, weight, bias, **self.settings)

    @property
    def terms(self) -> int:
        """How many terms are added up in one of its outputs."""
        match self.kind:
            case kind if kind in WEIGHTED:
                return self.weight[0].numel()
            case "mean1d" | "mean2d":
                dimensions = int(self.kind[-2])
                return int(np.broadcast_to(self.settings["kernel_size"], dimensions).prod())
        return 1 if self.kind == "scale" else 0


def leaves(module: nn.Module) -> list[nn.Module]:
    """Return the modules that a Sequential, nested or not, applies one after the other."""
    if isinstance(module, nn.Sequential):
        return [leaf for child in module for leaf in leaves(child)]
    return [module]


def step_of(module: nn.Module, shape: Sequence[int]) -> Step | None:
    """Return what a module does to inputs of ``shape`` in eval mode, None if it leaves them alone.

    InputError if it is not known to be affine.
    """
    match module:
        case nn.Linear():
            return Step("linear", *_numbers(module))
        case nn.Conv1d() | nn.Conv2d() if module.padding_mode == "zeros":
            kind = "conv1d" if isinstance(module, nn.Conv1d) else "conv2d"
            return Step(kind, *_numbers(module), _settings(module, CONVOLUTION))
        case nn.BatchNorm1d() | nn.BatchNorm2d() if module.running_mean is not None:
            return _normalisation(module)
        case nn.AvgPool1d():
            return Step("mean1d", settings=_settings(module, MEAN))
        case nn.AvgPool2d():
            return Step("mean2d", settings=_settings(module, MEAN + ("divisor_override",)))
        case nn.AdaptiveAvgPool1d() | nn.AdaptiveAvgPool2d() if _is_one(module.output_size):
            kind = "mean1d" if isinstance(module, nn.AdaptiveAvgPool1d) else "mean2d"
            kernel = nn.AvgPool1d if kind == "mean1d" else nn.AvgPool2d
            return step_of(kernel(tuple(shape[1:])), shape)
        case nn.Flatten() if module.start_dim > 0:
            ends = {"start_dim": module.start_dim, "end_dim": module.end_dim}
            return Step("flatten", settings=ends)
        case nn.Dropout() | nn.Dropout1d() | nn.Dropout2d() | nn.Identity():
            return None  # in eval mode they return their input
        case nn.Module(mean=mean, std=deviation) if is_standardisation(module):
            mean, deviation = torch.broadcast_tensors(
                *(torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in (mean, deviation))
            )
            return Step("scale", 1 / deviation, -mean / deviation)
    raise InputError(f"{module} is not known to be affine: it cannot be synapses")


CONVOLUTION = ("stride", "padding", "dilation", "groups")
MEAN = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")


def is_standardisation(module: nn.Module) -> bool:
    """Return whether a module is torchvision's Normalize, of either kind."""
    kind = type(module)
    return kind.__name__ == "Normalize" and kind.__module__.startswith("torchvision.transforms")


def _is_one(output_size) -> bool:
    return output_size in (1, (1,), (1, 1), [1], [1, 1])


def _settings(module: nn.Module, names: Sequence[str]) -> dict:
    """Return a module's settings by name."""
    return {name: getattr(module, name) for name in names}


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
    return Step("scale", weight, bias)


def _scale(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return weight x + bias, by channel: the dimension after the batch's."""
    channels = (-1,) + (1,) * (x.ndim - 2)
    x = x * weight.view(channels)
    return x if bias is None else x + bias.view(channels)


OPERATIONS = {
    "linear": F.linear,
    "conv1d": F.conv1d,
    "conv2d": F.conv2d,
    "scale": _scale,
    "mean1d": lambda x, weight, bias, **settings: F.avg_pool1d(x, **settings),
    "mean2d": lambda x, weight, bias, **settings: F.avg_pool2d(x, **settings),
    "flatten": lambda x, weight, bias, **settings: x.flatten(**settings),
}
