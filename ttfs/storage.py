"""Where files are kept, writing them whole or not at all, and models as restricted pickles."""

import contextlib
import os
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ttfs.errors import InputError
from ttfs.network import ReluNetwork


class ModelFileError(InputError):
    """A model file is missing, damaged, foreign or unsafe; the message names file and fault."""


def model_path(folder: Path, dataset: str, depth: int) -> Path:
    """Return where the network of this depth, trained on this data set, is kept."""
    return Path(folder) / f"{dataset}_{depth}_layer.pkl"


def output_folder(folder: Path, dataset: str) -> Path:
    """Return the folder of a data set's results or figures: MNIST's own, else a subfolder."""
    return Path(folder) if dataset == "mnist" else Path(folder) / dataset


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and move it into place if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it private
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise InputError unless files can be written to the folder; makes it if need be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; choose another folder"
        ) from error


def save_network(path: Path, network: ReluNetwork, **record) -> None:
    """Pickle the network as a dict of built-ins and float32 arrays, with what else is to be kept.

    The keys are ``weights``, ``biases``, ``architecture`` and those of ``record`` (``accuracy``,
    settings, seed). Equal contents give equal bytes.
    """
    contents = {
        "weights": [w.detach().cpu().float().contiguous().numpy() for w in network.weights],
        "biases": [b.detach().cpu().float().contiguous().numpy() for b in network.biases],
        "architecture": network.architecture,
        **record,
    }
    with written_atomically(path) as temporary:
        temporary.write_bytes(pickle.dumps(contents, protocol=4))


def load_network(path: Path) -> ReluNetwork:
    """Return the network kept in a model file; ModelFileError if it cannot be used."""
    return network_of(load_model(path), path)


def load_model(path: Path) -> dict:
    """Return a model file's dict, built from nothing but containers, numbers, strings and arrays.

    Raises ModelFileError if the file is missing, is no pickle of that kind or lacks a key.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            contents = _Unpickler(file).load()
    except FileNotFoundError as error:
        raise ModelFileError(
            f"{path} not found; run `python train_mnist_pytorch.py` first"
        ) from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    # A damaged pickle can raise nearly anything (Python's documentation lists some of it).
    except Exception as error:
        raise ModelFileError(
            f"{path} is not a model file: {error or type(error).__name__}; "
            f"train it again with `python train_mnist_pytorch.py`"
        ) from error
    if not isinstance(contents, dict) or not {"weights", "biases"} <= contents.keys():
        raise ModelFileError(f"{path} is not a model file: no dict with `weights` and `biases`")
    return contents


def network_of(contents: dict, path: Path) -> ReluNetwork:
    """Return the network in a model file's dict; ModelFileError names ``path`` and the fault."""
    for key in ("weights", "biases"):
        if not isinstance(contents[key], list | tuple):
            raise ModelFileError(f"{path}: {key} is not a list of arrays")
    try:
        network = ReluNetwork(contents["weights"], contents["biases"])
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error
    stated = contents.get("architecture", network.architecture)
    if not isinstance(stated, list | tuple) or list(stated) != network.architecture:
        raise ModelFileError(
            f"{path}: architecture is {stated}, but the weights chain as {network.architecture}"
        )
    return network


def _numeric_dtype(*arguments) -> np.dtype:
    """Stand in for ``numpy.dtype`` in a pickle: plain numbers only, no objects or records."""
    if not arguments or not isinstance(arguments[0], str):
        raise pickle.UnpicklingError("it holds an array of an unknown kind")
    dtype = np.dtype(arguments[0])
    if dtype.kind not in "biufc":
        raise pickle.UnpicklingError(f"it holds an array of dtype {dtype}, not of numbers")
    return dtype


class _Unpickler(pickle.Unpickler):
    """Builds containers, numbers, strings and numeric NumPy arrays; refuses everything else."""

    _NUMPY = {"numpy.core.multiarray", "numpy._core.multiarray"}
    _NUMERIC = {"numpy.core.numeric", "numpy._core.numeric"}

    def find_class(self, module: str, name: str):
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return _numeric_dtype
        if module in self._NUMPY and name in ("_reconstruct", "scalar"):
            return getattr(np._core.multiarray, name)
        if module in self._NUMERIC and name == "_frombuffer":
            return np._core.numeric._frombuffer
        if (module, name) == ("_codecs", "encode"):  # byte strings in protocol 2
            return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused as unsafe")


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
