import numpy as np
import pytest
import torch

from ttfs import InputError
from ttfs.coding import decode, encode


def test_bright_pixels_fire_early_and_black_ones_not_at_all():
    times = encode(torch.tensor([1.0, 0.75, 0.25, 0.0], dtype=torch.float64))
    assert times.tolist() == [0.0, 0.25, 0.75, float("inf")]


def test_decoding_returns_the_pixels_to_half_an_ulp_of_one():
    pixels = torch.arange(256, dtype=torch.float64) / 255
    assert (decode(encode(pixels)) - pixels).abs().max() <= np.spacing(1.0) / 2


def test_spike_times_decode_against_the_end_of_their_window():
    assert decode(torch.tensor([3.5, torch.inf]), t_max=4.0).tolist() == [0.5, 0.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_is_kept(dtype):
    assert encode(torch.tensor([0.5], dtype=dtype)).dtype == dtype


def test_numpy_arrays_are_accepted():
    assert encode(np.array([0.5])).tolist() == [0.5]


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_pixel_outside_zero_to_one_is_refused(value):
    with pytest.raises(InputError, match=r"not \[0, 1\]"):
        encode(torch.tensor([0.5, value]))


def test_bytes_are_refused_with_advice():
    with pytest.raises(InputError, match="divide them by 255"):
        encode(torch.tensor([0, 255], dtype=torch.uint8))


def test_inputs_are_not_modified():
    pixels = torch.tensor([0.0, 0.5])
    encode(pixels), decode(pixels)
    assert pixels.tolist() == [0.0, 0.5]
