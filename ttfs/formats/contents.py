"""What a model file may hold, in either format, and what is said of a file that holds more."""

import math
import re

import numpy as np

MOST_VALUES = 100_000  # in a dict; an array counts as many as NumPy takes opcodes to pickle one
VALUES_PER_ARRAY = 20


class FormatError(ValueError):
    """The bytes are no model, or ask for more than one needs; the message names the fault."""


class FromTorchError(FormatError):
    """The file is one of torch's own."""


def check_plain(contents, most_bytes: float) -> None:
    """Raise FormatError unless ``contents`` is what model files hold, and no more of it.

    That is dicts with strings as keys, lists, tuples, numbers, strings, None and arrays of numbers,
    at most ``MOST_VALUES`` in all and ``most_bytes`` of arrays, counted wherever they are named.
    """
    waiting, n_values, n_bytes = [contents], 1, 0
    while waiting:
        value = waiting.pop()
        kind, parts = type(value), ()
        if kind is dict:
            check_keys(value)
            parts = value.values()
        elif kind in (list, tuple):
            parts = value
        elif kind is np.ndarray:
            number_dtype(value.dtype.str)
            n_values, n_bytes = n_values + VALUES_PER_ARRAY, n_bytes + value.nbytes
        elif kind not in (bool, int, float, np.float64, str, type(None)):
            raise FormatError(f"it holds {shown(kind.__name__)}, which is no number, text or array")
        n_values += len(parts)
        if n_values > MOST_VALUES or n_bytes > most_bytes:
            raise FormatError("it holds more than a model of its size, or the same over and over")
        waiting.extend(parts)


def check_keys(keys) -> None:
    """Raise FormatError unless all keys of a dict are strings."""
    if not all(type(key) is str for key in keys):
        raise FormatError(
            "keys must be strings (a model is a dict with `weights` and `biases`, lists of arrays)"
        )


def number_dtype(code: str) -> np.dtype:
    """Return NumPy's dtype of a code such as "<f4"; FormatError if it is not one of numbers."""
    if not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code):
        raise FormatError(f"it holds an array of {shown(code)}, not of numbers")
    return np.dtype(code)


def array_of(data, dtype: np.dtype, shape: tuple, is_fortran: bool) -> np.ndarray:
    """Return an array with a copy of the bytes, which must be as many as dtype and shape say."""
    are_sizes = all(type(size) is int and 0 <= size < 2**31 for size in shape)
    if not are_sizes or len(shape) > 4 or math.prod(shape) * dtype.itemsize != len(data):
        raise FormatError("it holds an array whose bytes are not as many as its shape says")
    return np.ndarray(shape, dtype, data, order="F" if is_fortran else "C").copy("K")


def shown(text: str) -> str:
    """Return a file's text as it may be shown: in quotes, in ASCII, at most 60 characters."""
    quoted = ascii(text[:60])
    return quoted if len(quoted) <= 60 else f"{quoted[:56]}...{quoted[-1]}"
