"""What a model file may hold, in either format, and what is said of a file that holds more.

What a stranger's file costs its reader is bounded. Reading takes at most the file itself and three
times its size of values made from it (``pickles``: a text, its bytes, an array), and some hundred
bytes for each of ``MOST_VALUES`` values: in all four times the file's size and 40 MB. A network is
made of it only when all else has been checked.
"""

import math
import re

import numpy as np

MOST_VALUES = 200_000
MOST_ARRAYS = 5_000
MOST_NESTED = 50
LONGEST_KEY = 200  # characters
SPARE = 2**25  # bytes of arrays that may be named more than once, whatever the file's size


class FormatError(ValueError):
    """The bytes are no model, or ask for more than one needs; the message names the fault."""


class FromTorchError(FormatError):
    """The file is one of torch's own."""


def check_plain(contents, most_bytes: float) -> None:
    """Raise FormatError unless ``contents`` is what model files hold, and no more of it.

    That is dicts with strings as keys, lists, tuples, numbers, strings, None and arrays of numbers:
    at most ``MOST_VALUES`` values and ``MOST_ARRAYS`` arrays with ``most_bytes``, counted wherever
    they are named, and nested at most ``MOST_NESTED`` deep.
    """
    waiting = [(contents, 1)]
    n_values, n_arrays, n_bytes = 1, 0, 0
    while waiting:
        value, depth = waiting.pop()
        kind = type(value)
        parts = ()
        if kind is dict:
            check_keys(value)
            parts = value.values()
        elif kind in (list, tuple):
            parts = value
        elif kind is np.ndarray:
            number_dtype(value.dtype.str)
            n_arrays += 1
            n_bytes += value.nbytes
        elif kind not in (bool, int, float, np.float64, str, type(None)):
            name = "bytes" if kind is memoryview else kind.__name__
            raise FormatError(f"it holds {shown(name)}, which is no number, text or array")
        n_values += len(parts)
        if n_values > MOST_VALUES:
            raise FormatError(f"it holds more than {MOST_VALUES:,} values; keep some elsewhere")
        if n_arrays > MOST_ARRAYS or n_bytes > most_bytes:
            raise FormatError(
                "it names more arrays than a model of its size, or the same too often"
            )
        if depth > MOST_NESTED:
            raise FormatError(f"it holds lists nested more than {MOST_NESTED} deep")
        waiting.extend((part, depth + 1) for part in parts)


def check_keys(keys) -> None:
    """Raise FormatError unless all keys of a dict are strings, and short."""
    if not all(type(key) is str and len(key) <= LONGEST_KEY for key in keys):
        raise FormatError(
            "keys must be short strings (a model has `weights` and `biases`, lists of arrays)"
        )


def number_dtype(code: str) -> np.dtype:
    """Return NumPy's dtype of a code such as "<f4"; FormatError if it is not one of numbers."""
    if not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code):
        raise FormatError(f"it holds an array of {shown(code)}, not of numbers")
    return np.dtype(code)


def array_of(data, dtype: np.dtype, shape: tuple, is_fortran: bool) -> np.ndarray:
    """Return an array with a copy of the bytes, which must be as many as dtype and shape say."""
    if len(shape) > 8 or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise FormatError("it holds an array without a usable shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise FormatError("it holds an array whose bytes are not as many as its shape says")
    if math.prod(max(size, 1) for size in shape) >= 2**48:  # NumPy's limit, for empty ones too
        raise FormatError("it holds an array without a usable shape")
    return np.ndarray(shape, dtype, data, order="F" if is_fortran else "C").copy("K")


def shown(text: str) -> str:
    """Return a file's text as it may be shown: in quotes, in ASCII, at most 50 characters."""
    quoted = ascii(text[:50])
    return quoted if len(quoted) <= 50 else f"{quoted[:46]}...{quoted[-1]}"
