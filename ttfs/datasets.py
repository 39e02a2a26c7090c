"""Images and labels: MNIST, Fashion-MNIST, or scikit-learn's digits where MNIST cannot be had.

Pixels are divided by 255 or 16 (digits), and nothing else is ever done to them: the same
preprocessing for training, calibration and test.
"""

import contextlib
import hashlib
import http.client
import logging
import os
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ttfs import InputError

DATASETS = ("auto", "mnist", "fashion", "digits")
PATIENCE = 10.0  # seconds a download may stay without an answer
# The last training images, to choose when to stop.
VALIDATION = {"mnist": 5000, "fashion": 5000, "digits": 200}
DIGITS_TEST = 300  # of scikit-learn's 1,797
DIGITS_SPLIT_SEED = 0  # the split is the same for every run, whatever its seed
TORCHVISION = {"mnist": "MNIST", "fashion": "FashionMNIST"}  # its classes, and their folders
MD5 = {  # of the four uncompressed files
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}

log = logging.getLogger(__name__)


class Split(NamedTuple):
    """Images as (n, 784) float32 in [0, 1], and labels as (n,) int64 in 0..9."""

    images: Tensor
    labels: Tensor


def load_dataset(name: str, data_dir: Path | str = "data") -> tuple[Split, Split, Split]:
    """Return the training, validation and test split of a data set.

    Parameters
    ----------
    name : "mnist", "fashion", "digits" or "auto"
        See ``choose_dataset`` for what "auto" takes.
    data_dir : path
        Where ``MNIST/raw/*-ubyte`` or ``FashionMNIST/raw/*-ubyte`` lie, or are downloaded to.

    Raises
    ------
    InputError
        If the name is unknown, or the files are missing or damaged.

    """
    name = choose_dataset(name, data_dir)
    train, test = _load_digits() if name == "digits" else _load_idx(name, Path(data_dir))
    n_train = len(train.labels) - VALIDATION[name]
    validation = Split(train.images[n_train:], train.labels[n_train:])
    return Split(train.images[:n_train], train.labels[:n_train]), validation, test


def choose_dataset(name: str, data_dir: Path | str = "data") -> str:
    """Return the data set's name; for "auto" MNIST if on disk or downloadable, else digits.

    What is wanted and missing is downloaded here. Falling back to digits logs a warning.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}: choose from {', '.join(DATASETS)}")
    if name == "digits":
        return name
    wanted = "mnist" if name == "auto" else name
    files = f"{TORCHVISION[wanted]}/raw/*-ubyte"
    if Path(data_dir).exists() and not Path(data_dir).is_dir():
        raise InputError(f"{data_dir} is not a folder; name one that has {files}")
    if on_disk(wanted, data_dir):
        return wanted
    supply = (
        f"put the four {TORCHVISION[wanted]} files into {_folder(wanted, data_dir)}, or name a "
        f"folder that has {files} with --data-dir or TTFS_DATA_DIR"
    )
    try:
        _download(wanted, Path(data_dir))
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError after the last URL
        if name != "auto":
            raise InputError(
                f"{TORCHVISION[wanted]} is neither on disk nor to be had ({error}); {supply}"
            ) from error
        rule = "=" * 100
        log.warning(
            f"{rule}\nNOT MNIST. MNIST is not on disk and cannot be downloaded ({error}).\n"
            f"Using scikit-learn's 1,797 digits instead; all files are named after `digits`.\n"
            f"For MNIST, {supply}.\n{rule}"
        )
        return "digits"
    return wanted


def on_disk(name: str, data_dir: Path | str) -> bool:
    """Whether any of a data set's files is there; whether it is whole shows when it is read."""
    return any((_folder(name, data_dir) / file).exists() for file in MD5[name])


def _folder(name: str, data_dir: Path | str) -> Path:
    """Return where torchvision keeps a data set's four files."""
    return Path(data_dir) / TORCHVISION[name] / "raw"


def _torchvision(name: str):
    """Return torchvision's class of a data set."""
    with _needing("torchvision"):
        import torchvision.datasets  # a second to import, and digits do not need it
    return getattr(torchvision.datasets, TORCHVISION[name])


@contextlib.contextmanager
def _needing(package: str) -> Iterator[None]:
    """Say in one line what to install if a package is missing that only data need."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"{package} is not installed; pip install 'ttfs[data]'") from error


def _load_idx(name: str, data_dir: Path) -> tuple[Split, Split]:
    """Return 60,000 training and 10,000 test images; InputError unless every byte is as it was."""
    for file_name, md5 in MD5[name].items():
        file = _folder(name, data_dir) / file_name
        found = hashlib.md5(file.read_bytes()).hexdigest() if file.exists() else None
        if found != md5:
            whose = f"is not {TORCHVISION[name]}'s: its MD5 is not {md5}"
            fault = "is missing" if found is None else whose
            raise InputError(
                f"{file} {fault}; delete {file.parent} and supply {TORCHVISION[name]} again"
            )
    train, test = (_torchvision(name)(data_dir, train=train) for train in (True, False))
    return _split(train), _split(test)


def _split(data) -> Split:
    """Return torchvision's bytes as pixels in [0, 1]."""
    return Split(data.data.reshape(-1, 784).float() / 255, data.targets.long())


def _download(name: str, data_dir: Path) -> None:
    """Download a data set with torchvision, whole or not at all.

    Raises OSError within PATIENCE if no server answers.
    """
    source, raw = _torchvision(name), _folder(name, data_dir)
    _ask_a_mirror(source.mirrors, source.resources[3][0])
    data_dir.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".mnist-") as temporary:
            source(temporary, download=True)
            raw.mkdir(parents=True, exist_ok=True)
            for file in MD5[name]:
                os.replace(_folder(name, temporary) / file, raw / file)
    finally:
        socket.setdefaulttimeout(before)


def _ask_a_mirror(mirrors: list[str], file: str) -> None:
    """Raise OSError unless one of the mirrors answers within PATIENCE."""
    answers = []

    def ask() -> None:
        for mirror in mirrors:
            try:
                with urllib.request.urlopen(mirror + file, timeout=PATIENCE):
                    answers.append(None)
                    return
            except (OSError, http.client.HTTPException) as error:
                answers.append(error)

    # In a thread: looking up a host's name knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not answers:
        raise OSError(f"no answer within {PATIENCE:g} s")
    if answers[-1] is not None:
        raise OSError(str(answers[-1])) from answers[-1]


def _load_digits() -> tuple[Split, Split]:
    """Return scikit-learn's 1,797 real digits, enlarged from 8 x 8 to 28 x 28, split once."""
    with _needing("scikit-learn"):
        from sklearn.datasets import load_digits  # a second to import, and only digits needs it
    data = load_digits()
    small = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    large = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    images, labels = large.reshape(-1, 784).clamp(0, 1), torch.from_numpy(data.target).long()
    order = torch.from_numpy(np.random.default_rng(DIGITS_SPLIT_SEED).permutation(len(labels)))
    test, train = order[:DIGITS_TEST], order[DIGITS_TEST:]
    return Split(images[train], labels[train]), Split(images[test], labels[test])
