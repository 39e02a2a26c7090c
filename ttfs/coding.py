"""Values as spike times, and back: the earlier the spike, the larger the value."""

from typing import NamedTuple

import torch
from torch import Tensor

from ttfs import InputError


class Window(NamedTuple):
    """When the neurons of a layer may fire: in [t_min, t_max), model time."""

    layer: int  # 0 is the input
    t_min: float
    t_max: float

    @property
    def length(self) -> float:
        """t_max - t_min."""
        return self.t_max - self.t_min


INPUT = Window(0, 0.0, 1.0)


def encode(pixels: Tensor) -> Tensor:
    """Return the input spike times of pixels: t = 1 - x; a black pixel (x = 0) stays silent.

    A pixel below half the dtype's spacing at 1 fires, rounded, at 1: it then carries 0.

    Parameters
    ----------
    pixels : floating tensor, any shape, in [0, 1]

    Returns
    -------
    spike_times : tensor of the same shape and dtype, in [0, 1] or ``inf`` (silent), model time

    Raises
    ------
    InputError
        If a pixel lies outside [0, 1] or is NaN.

    """
    pixels = checked_pixels(pixels)
    return torch.where(pixels > 0, 1 - pixels, torch.inf)


def decode(spike_times: Tensor, t_max: float = 1.0) -> Tensor:
    """Return the values that spike times carry: x = t_max - t, and 0 for a silent neuron.

    ``t_max`` is the end of the window that the spikes lie in; 1 for input spikes.
    """
    spike_times = torch.as_tensor(spike_times)
    return torch.where(torch.isinf(spike_times), 0, t_max - spike_times)


def flat_batch(x: Tensor) -> Tensor:
    """Return inputs, (n_batch, *shape), as a (n_batch, n_in) tensor."""
    x = torch.as_tensor(x)
    return x.flatten(1) if x.ndim > 2 else x


def checked_pixels(pixels: Tensor, n_in: int | None = None) -> Tensor:
    """Return the pixels as a tensor; InputError unless they are floating and in [0, 1].

    With ``n_in`` they come back as (n_batch, n_in), and InputError unless they are as many.
    """
    pixels = torch.as_tensor(pixels) if n_in is None else flat_batch(pixels)
    if n_in is not None and (pixels.ndim != 2 or pixels.shape[1] != n_in):
        raise InputError(f"pixels are {tuple(pixels.shape)}, not (n_batch, {n_in})")
    if not pixels.is_floating_point():
        raise InputError(f"pixels are {pixels.dtype}; divide them by 255 to get [0, 1]")
    low, high = (value.item() for value in pixels.aminmax()) if pixels.numel() else (0, 0)
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise InputError(
            f"pixels span {low:g} to {high:g}, not [0, 1]: divide bytes by 255; for standardised "
            f"pixels, convert ttfs.network.unstandardised(network, mean, deviation), and give it "
            f"raw ones"
        )
    return pixels
