"""Where files are kept, and model files."""

import math
import pickle
import re
import tempfile
from pathlib import Path

import numpy as np

from ttfs import InputError
from ttfs.formats.contents import FormatError, FromTorchError, check_plain, shown
from ttfs.formats.layers import described, layers_of
from ttfs.formats.npz import START_OF_ARCHIVE, archived, unarchived
from ttfs.formats.pickles import unpickled
from ttfs.network import Layer, ReluNetwork, check_arrays, checked_sizes, own_tensor
from ttfs.writing import written_atomically

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # what torch.save wrote first, before it wrote archives
FROM_TORCH = (
    "it comes from torch; torch.load it, and keep its weights and biases in another file, with "
    "ttfs.storage.save_network(path, ReluNetwork(weights, biases))"
)


class ModelFileError(InputError):
    """A model file is missing, damaged, foreign or unsafe; the message names file and fault."""


def model_path(folder: Path, dataset: str, depth: int, network: str = "mlp") -> Path:
    """Return where the network of this kind and depth, trained on this data set, is kept.

    That is a pickle, or the .npz of the same name if there is one and no pickle. InputError if both
    are there.
    """
    name = f"{depth}_layer" if network == "mlp" else network
    path = Path(folder) / f"{dataset}_{name}.pkl"
    archive = path.with_suffix(".npz")
    if not archive.exists():
        return path
    if path.exists():
        raise InputError(f"{path} and {archive.name} are both there: keep one of them")
    return archive


def output_folder(folder: Path, dataset: str, network: str = "mlp") -> Path:
    """Return the folder of results or figures: itself for MLPs on MNIST, else a subfolder."""
    parts = [name for name, usual in ((dataset, "mnist"), (network, "mlp")) if name != usual]
    return Path(folder, *parts)


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
    """Keep the network in a file, as float32 arrays, with what else is to be kept.

    An archive of arrays if the name ends in ``.npz``, else a pickled dict. Its keys are
    ``weights``, ``biases``, ``architecture``, ``layers`` if any is more than full connections
    (``ttfs.formats.layers``), and those of ``record`` (``accuracy``, settings,
    seed), whose values are built-ins.
    """
    path = Path(path)
    weights, biases, layers = network_arrays(network)
    record = {key: v.item() if isinstance(v, np.generic) else v for key, v in record.items()}
    contents = {
        "weights": [w.detach().cpu().float().contiguous().numpy() for w in weights],
        "biases": [b.detach().cpu().float().contiguous().numpy() for b in biases],
        "architecture": network.architecture,
    } | ({"layers": layers} if layers else {})
    if record.keys() & {*contents, "layers"}:
        raise InputError("weights, biases, architecture and layers come from the network alone")
    contents = record | contents
    try:
        check_plain(contents, most_bytes=math.inf)
        as_archive = path.suffix == ".npz"
        data = archived(contents) if as_archive else pickle.dumps(contents, protocol=4)
        network_of(_contents(data), path)  # what cannot be read again is not written
    except (FormatError, RecursionError) as error:
        raise InputError(f"{path} cannot keep this network: {error}") from error
    with written_atomically(path) as temporary:
        temporary.write_bytes(data)


def network_arrays(network: ReluNetwork) -> tuple[list, list, list]:
    """Return a network's weights, biases, and what else its layers are: nothing if all are full."""
    if network.is_fully_connected:
        return network.weights, network.biases, []
    layers, weights, biases = described([(la.synapses, la.pool) for la in network.layers])
    return weights, biases, layers


def load_network(path: Path) -> ReluNetwork:
    """Return the network kept in a model file; ModelFileError if it cannot be used."""
    return network_of(load_model(path), path)


def load_model(path: Path) -> dict:
    """Return a model file's dict: built-in containers, numbers and strings, and arrays of numbers.

    The file is a pickle or an .npz, whatever its name. Nothing in it can run, and reading it takes
    no more time and memory than a model of its size does. Raises ModelFileError if it is missing,
    is no file of that kind or lacks a key.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ModelFileError(f"{path} is a directory or a device, not a file")
        data = path.read_bytes()
    except FileNotFoundError as error:
        command = f"{_training_command(path)} --models {path.parent}"
        raise ModelFileError(f"{path} not found; run `{command}` first") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return _contents(data)
    except FromTorchError as error:
        raise ModelFileError(f"{path} is not a model file: {FROM_TORCH}") from error
    except FormatError as error:
        command = _training_command(path)
        raise ModelFileError(
            f"{path} is not a model file: {error}; get it again, or train one with `{command}`"
        ) from error


def network_of(contents: dict, path: Path) -> ReluNetwork:
    """Return the network in a model file's dict; ModelFileError names ``path`` and the fault."""
    for key in ("weights", "biases"):
        if not isinstance(contents[key], list | tuple):
            raise ModelFileError(f"{path}: {key} is not a list of arrays")
        for n, array in enumerate(contents[key]):
            if not isinstance(array, np.ndarray):
                what = f"{key}[{n}] is not a numeric array, but of type {type(array).__name__}"
                raise ModelFileError(f"{path}: {what}")
    network = None
    try:
        if "layers" in contents:
            network = _network_of_layers(contents)
            sizes = network.architecture
        else:
            sizes = checked_sizes(contents["weights"], contents["biases"])
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error
    stated = contents.get("architecture", sizes)
    if isinstance(stated, np.ndarray) and stated.shape == (len(sizes),):
        stated = stated.tolist()
    if not isinstance(stated, list | tuple) or not all(isinstance(n, int | float) for n in stated):
        raise ModelFileError(f"{path}: architecture is not a list of layer sizes")
    if list(stated) != sizes:
        what = f"architecture is {shown(str(stated[:9]))}, but the weights chain as"
        raise ModelFileError(f"{path}: {what} {shown(str(sizes[:9]))}")
    return network or ReluNetwork(contents["weights"], contents["biases"])


def _network_of_layers(contents: dict) -> ReluNetwork:
    """Return the network of a file that describes its layers."""
    weights, biases = contents["weights"], contents["biases"]
    check_arrays(weights, biases)
    numbers = ([own_tensor(array) for array in arrays] for arrays in (weights, biases))
    layers = layers_of(contents["layers"], *numbers)
    return ReluNetwork.of_layers([Layer(*layer) for layer in layers])


def _contents(data: bytes) -> dict:
    """Return a model's dict from the bytes of its file; FormatError if they are something else."""
    contents = unarchived(data) if data.startswith(START_OF_ARCHIVE) else unpickled(data)
    if isinstance(contents, int) and contents == TORCH_MAGIC:
        raise FromTorchError("it is one of torch's own files")
    if not isinstance(contents, dict) or not {"weights", "biases"} <= contents.keys():
        raise FormatError("no dict with `weights` and `biases`")
    return contents


def _training_command(path: Path) -> str:
    """Return the command that makes a model file of this name, in the folder of models."""
    dataset = path.name.partition("_")[0]
    dataset = f" --dataset {dataset}" if dataset in ("digits", "fashion") else ""
    if path.stem.endswith("_lenet"):
        return f"python train_mnist_pytorch.py{dataset} --network lenet --augment"
    depth = re.search(r"_(\d{1,3})_layer", path.name)
    depths = f" --depths {depth[1]}" if depth and depth[1] not in ("2", "4", "6", "8") else ""
    return f"python train_mnist_pytorch.py{dataset}{depths}"
