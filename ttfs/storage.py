"""Where files are kept, writing them whole or not at all, and models as restricted pickles."""

import contextlib
import os
import pickle
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ttfs import InputError
from ttfs.network import ReluNetwork

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # what torch.save wrote first, before it wrote archives
FROM_TORCH = (
    "it comes from torch; torch.load it, and keep its weights and biases in another file, with "
    "ttfs.storage.save_network(path, ReluNetwork(weights, biases))"
)


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
    settings, seed).
    """
    if not all(layer.synapses.is_dense and layer.pool is None for layer in network.layers):
        raise InputError("only a network of fully connected layers can be kept in a model file")
    contents = {
        "weights": [w.detach().cpu().float().contiguous().numpy() for w in network.weights],
        "biases": [b.detach().cpu().float().contiguous().numpy() for b in network.biases],
        "architecture": network.architecture,
        **record,
    }
    network_of(contents, path)  # what cannot be read again is not written
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
    if zipfile.is_zipfile(path):
        raise ModelFileError(f"{path} is not a model file: {FROM_TORCH}")
    try:
        with path.open("rb") as file:
            contents = _Unpickler(file).load()
    except FileNotFoundError as error:
        raise ModelFileError(f"{path} not found; run `{_training_command(path)}` first") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    except _FromTorchError as error:
        raise ModelFileError(f"{path} is not a model file: {FROM_TORCH}") from error
    # A damaged pickle can raise nearly anything (Python's documentation lists some of it).
    except Exception as error:
        raise ModelFileError(
            f"{path} is not a model file: {str(error) or type(error).__name__}; "
            f"train it again with `{_training_command(path)}`"
        ) from error
    if contents == TORCH_MAGIC:
        raise ModelFileError(f"{path} is not a model file: {FROM_TORCH}")
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
    listed = isinstance(stated, list | tuple) and all(isinstance(n, int) for n in stated)
    if not listed or list(stated) != network.architecture:
        raise ModelFileError(
            f"{path}: architecture is {stated}, but the weights chain as {network.architecture}"
        )
    return network


class _FromTorchError(pickle.UnpicklingError):
    """The pickle asks for something that torch's own files have."""


class _Dtype:
    """Stand in for ``numpy.dtype`` in a pickle: real or complex numbers, in either byte order."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.dtype = np.dtype(code) if isinstance(code, str) else np.dtype(object)
        if self.dtype.kind not in "biufc":
            raise pickle.UnpicklingError(f"it holds an array of {self.dtype}, not of numbers")

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """Stand in for ``numpy.ndarray`` in a pickle: built from its shape, dtype and bytes alone."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, is_fortran, data = state
        super().__setstate__((version, shape, dtype.dtype, is_fortran, data))


def _empty_array(array_type: None, shape: tuple, code: bytes) -> _Array:
    if (shape, code) != ((0,), b"b"):  # what every array starts as, before its state is set
        raise pickle.UnpicklingError("it holds an array that was not pickled by NumPy")
    return np.ndarray.__new__(_Array, shape)


def _array_from_buffer(buffer, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype.dtype).reshape(shape, order=order)


# What a model file may ask for, and what it gets.
_ALLOWED = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): None,  # named as an argument of _reconstruct; never to be called
    ("numpy.multiarray", "_reconstruct"): _empty_array,
    ("numpy.multiarray", "scalar"): lambda dtype, data: np.frombuffer(data, dtype.dtype)[0],
    ("numpy.numeric", "_frombuffer"): _array_from_buffer,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),  # bytes in protocol 2
}


# The one written in Python: the other sets aside memory for any number that a file makes up.
class _Unpickler(pickle._Unpickler):
    """Builds containers, numbers, strings and numeric NumPy arrays; refuses everything else."""

    def find_class(self, module: str, name: str):
        place = re.sub(r"^numpy\._?core\.", "numpy.", module)  # NumPy 2 and NumPy 1
        if name == "OrderedDict" or module.split(".")[0] == "torch":
            raise _FromTorchError
        if (place, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused as unsafe")
        return _ALLOWED[place, name]


def _training_command(path: Path) -> str:
    """Return the command that makes a model file of this name."""
    dataset = " --dataset digits" if path.name.startswith("digits") else ""
    depth = re.search(r"_(\d+)_layer", path.name)
    depths = f" --depths {depth[1]}" if depth and depth[1] not in ("2", "4", "6", "8") else ""
    return f"python train_mnist_pytorch.py{dataset}{depths} --models {path.parent}"


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
