import gzip
import hashlib
import logging
import os
import socket
import struct
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision.datasets import MNIST

from ttfs import InputError, datasets
from ttfs.datasets import choose_dataset, load_dataset

SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = SHAPES


def idx_header(shape, magic=None) -> bytes:
    """Return the header of an IDX file of unsigned bytes."""
    return struct.pack(f">{1 + len(shape)}I", magic or 0x800 + len(shape), *shape)


def write_mnist(data_dir, folder="MNIST"):
    """Write four black IDX files (sparse: they take no room), and return their folder."""
    raw = data_dir / folder / "raw"
    raw.mkdir(parents=True)
    for name, shape in SHAPES.items():
        with (raw / name).open("wb") as file:
            file.write(idx_header(shape))
            file.truncate(4 + 4 * len(shape) + int(np.prod(shape)))
    return raw


def overwrite(path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def accept(monkeypatch, raw) -> None:
    """Let these files pass for a data set's own."""
    md5 = {name: hashlib.md5((raw / name).read_bytes()).hexdigest() for name in SHAPES}
    monkeypatch.setattr(datasets, "MD5", {"mnist": md5, "fashion": md5})


def files_below(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def test_digits_are_1797_images_split_into_1297_200_and_300():
    splits = load_dataset("digits")
    assert [split.images.shape for split in splits] == [(1297, 784), (200, 784), (300, 784)]
    assert [split.labels.shape for split in splits] == [(1297,), (200,), (300,)]


def test_digits_splits_share_no_image():
    images = torch.cat([split.images for split in load_dataset("digits")])
    assert len(torch.unique(images, dim=0)) == 1797  # all 1,797 are different, so none is twice


def test_digits_are_float32_in_0_to_1_with_int64_labels_of_every_class():
    for images, labels in load_dataset("digits"):
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert (images.min(), images.max()) == (0, 1)
        assert sorted(set(labels.tolist())) == list(range(10))


def test_digits_keep_their_labels_and_brightness_when_enlarged():
    source = load_digits()
    test = load_dataset("digits")[2]
    order = np.random.default_rng(0).permutation(1797)[:300]
    assert np.array_equal(test.labels, source.target[order])
    brightness = source.images[order].mean((1, 2)) / 16
    assert np.abs(test.images.mean(1).numpy() - brightness).max() < 0.02


def test_digits_are_enlarged_linearly_between_the_middles_of_their_pixels():
    source = load_digits().images[np.random.default_rng(0).permutation(1797)[:300]] / 16
    places = (np.arange(28) + 0.5) * 8 / 28 - 0.5
    rows = np.apply_along_axis(lambda column: np.interp(places, range(8), column), 1, source)
    large = np.apply_along_axis(lambda row: np.interp(places, range(8), row), 2, rows)
    test = load_dataset("digits")[2]
    np.testing.assert_allclose(test.images.numpy(), large.reshape(300, 784), atol=1e-6)


def test_digits_are_the_same_on_every_call_whatever_the_global_seed():
    first = load_dataset("digits")
    torch.manual_seed(99)
    for a, b in zip(first, load_dataset("digits"), strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)


def test_mnist_on_disk_is_divided_by_255_and_the_last_5000_training_images_validate(
    tmp_path, monkeypatch
):
    raw = write_mnist(tmp_path)
    overwrite(raw / TRAIN_IMAGES, 16, bytes([255, 51]))  # first pixels of the first image
    overwrite(raw / TRAIN_IMAGES, 16 + 55_000 * 784 + 783, bytes([102]))
    overwrite(raw / TRAIN_LABELS, 8 + 54_999, bytes([7, 9]))
    overwrite(raw / TEST_IMAGES, 16 + 784, bytes([204]))
    overwrite(raw / TEST_LABELS, 8 + 9_999, bytes([3]))
    accept(monkeypatch, raw)
    train, validation, test = load_dataset("mnist", tmp_path)
    assert [len(s.labels) for s in (train, validation, test)] == [55_000, 5_000, 10_000]
    assert train.images.dtype == torch.float32 and train.labels.dtype == torch.int64
    assert train.images[0, :3].tolist() == [1, torch.tensor(51 / 255).item(), 0]
    assert validation.images[0, 783] == torch.tensor(102 / 255)
    assert test.images[1, 0] == torch.tensor(204 / 255)
    assert (train.labels[-1], validation.labels[0], test.labels[-1]) == (7, 9, 3)
    assert train.images.sum() == pytest.approx(1.2)
    assert choose_dataset("auto", tmp_path) == "mnist"


@pytest.mark.parametrize("name", SHAPES)
def test_mnist_without_one_of_its_files_names_that_file(tmp_path, monkeypatch, name):
    raw = write_mnist(tmp_path)
    accept(monkeypatch, raw)
    (raw / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing.*supply MNIST again"):
        load_dataset("mnist", tmp_path)


DAMAGES = {
    "a byte short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "a byte long": lambda path: os.truncate(path, path.stat().st_size + 1),
    "empty": lambda path: os.truncate(path, 0),
    "a web page": lambda path: path.write_text("<html>Not found</html>"),
    "compressed": lambda path: path.write_bytes(gzip.compress(path.read_bytes()[:1000])),
    "another magic": lambda path: overwrite(path, 0, idx_header((1, 1), 0xD03)[:4]),
    "labels for images, images for labels": lambda path: path.write_bytes(
        idx_header((10_000,) if "images" in path.name else (10_000, 28, 28)) + bytes(10_000)
    ),
    "another value": lambda path: overwrite(path, 500, b"\x09"),
    "another data set": lambda path: overwrite(path, 16, bytes(range(256))),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_file_with_any_other_byte_than_mnists_is_refused(tmp_path, monkeypatch, name, damage):
    raw = write_mnist(tmp_path)
    accept(monkeypatch, raw)
    DAMAGES[damage](raw / name)
    with pytest.raises(InputError, match=f"{name} is not MNIST's.*supply MNIST again"):
        load_dataset("auto", tmp_path)


@pytest.mark.parametrize("function", [choose_dataset, load_dataset])
def test_unknown_data_set_is_refused_with_the_known_ones(tmp_path, function):
    with pytest.raises(InputError, match="'cifar'.*auto, mnist, fashion, digits"):
        function("cifar", tmp_path)


def test_auto_without_mnist_falls_back_to_digits_with_a_notice(tmp_path, caplog, no_network):
    with caplog.at_level(logging.WARNING):
        assert choose_dataset("auto", tmp_path / "data") == "digits"
    (record,) = caplog.records
    assert record.levelno >= logging.WARNING
    message = record.getMessage()
    assert "NOT MNIST" in message and "network is unreachable" in message
    assert str(tmp_path / "data" / "MNIST" / "raw") in message
    assert "--data-dir" in message and "TTFS_DATA_DIR" in message
    assert files_below(tmp_path) == []


def test_mnist_asked_for_by_name_never_falls_back(tmp_path, caplog, no_network):
    with pytest.raises(InputError, match="network is unreachable.*MNIST/raw.*--data-dir"):
        load_dataset("mnist", tmp_path)
    assert caplog.records == []
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(("name", "other"), [("mnist", "FashionMNIST"), ("fashion", "MNIST")])
def test_one_data_set_is_not_taken_for_the_other(tmp_path, no_network, name, other):
    write_mnist(tmp_path, other)
    with pytest.raises(InputError, match="neither on disk nor to be had"):
        load_dataset(name, tmp_path)


def test_fashion_is_read_from_its_own_folder_and_split_as_mnist_is(tmp_path, monkeypatch):
    raw = write_mnist(tmp_path, "FashionMNIST")
    overwrite(raw / TRAIN_IMAGES, 16, bytes([255, 51]))
    accept(monkeypatch, raw)
    training, validation, test = load_dataset("fashion", tmp_path)
    assert [len(split.labels) for split in (training, validation, test)] == [55000, 5000, 10000]
    assert training.images[0, :3].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert choose_dataset("fashion", tmp_path) == "fashion"


def test_clothes_never_stand_in_for_mnist(tmp_path, no_network, caplog):
    write_mnist(tmp_path, "FashionMNIST")
    assert choose_dataset("auto", tmp_path) == "digits"


@pytest.mark.parametrize(("name", "package"), [("digits", "sklearn"), ("fashion", "torchvision")])
def test_a_package_that_is_missing_is_named_with_what_installs_it(
    tmp_path, monkeypatch, name, package
):
    monkeypatch.setitem(sys.modules, f"{package}.datasets", None)
    with pytest.raises(
        InputError, match=r"(scikit-learn|torchvision) is not installed; pip install 'ttfs\[data"
    ):
        load_dataset(name, tmp_path)


def test_digits_asked_for_by_name_never_ask_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_download", None)
    assert choose_dataset("digits", tmp_path) == "digits"


@pytest.fixture
def impatient(monkeypatch):
    """Give up after 0.3 s; afterwards, wait for the thread that asked."""
    before = set(threading.enumerate())
    monkeypatch.setattr(datasets, "PATIENCE", 0.3)
    monkeypatch.setenv("no_proxy", "*")
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


@pytest.fixture
def server(monkeypatch):
    """Stand in for every mirror: the kernel accepts connections, and no one answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(MNIST, "mirrors", [url, url])
        yield server


def test_server_that_never_answers_is_given_up_within_patience(tmp_path, impatient, server):
    started = time.monotonic()
    with pytest.raises(InputError, match=r"no answer within 0\.3 s|timed out"):
        choose_dataset("mnist", tmp_path)
    assert 0.25 < time.monotonic() - started < 1.5
    assert files_below(tmp_path) == []


def test_server_that_does_not_speak_http_is_no_server(tmp_path, impatient, server, monkeypatch):
    def answer():
        connection = server.accept()[0]
        connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")
        connection.close()

    monkeypatch.setattr(MNIST, "mirrors", MNIST.mirrors[:1])
    threading.Thread(target=answer, daemon=True).start()
    assert choose_dataset("auto", tmp_path) == "digits"
    assert files_below(tmp_path) == []


def test_name_server_that_never_answers_is_given_up_within_patience(
    tmp_path, impatient, monkeypatch
):
    end_of_test = threading.Event()

    def urlopen(*args, **kwargs):
        end_of_test.wait(30)
        raise URLError("unknown host")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    started = time.monotonic()
    assert choose_dataset("auto", tmp_path) == "digits"
    assert 0.25 < time.monotonic() - started < 1.5
    end_of_test.set()
    assert files_below(tmp_path) == []


def test_download_that_breaks_off_leaves_nothing_that_poses_as_mnist(tmp_path, monkeypatch):
    def breaks_off(self):
        raw = Path(self.raw_folder)
        raw.mkdir(parents=True)
        (raw / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(b"half of it"))
        (raw / TRAIN_IMAGES).write_bytes(b"half of it")
        raise RuntimeError("Error downloading t10k-images:\nTried a mirror, got:\nreset by peer")

    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: gzip.open(__file__, "rb"))
    monkeypatch.setattr(MNIST, "download", breaks_off)
    assert choose_dataset("auto", tmp_path) == "digits"
    assert files_below(tmp_path) == []
    assert choose_dataset("auto", tmp_path) == "digits"  # and not an error about half of MNIST


@pytest.mark.parametrize("n_silent", [0, 1])
def test_mnist_is_downloaded_if_any_mirror_has_it_and_nothing_else_is_kept(
    tmp_path, monkeypatch, n_silent
):
    asked, patience = [], []

    def urlopen(url, timeout):
        asked.append((url, timeout))
        if len(asked) <= n_silent:
            raise URLError("unknown host")
        return gzip.open(__file__, "rb")

    def download(self):
        patience.append(socket.getdefaulttimeout())
        write_mnist(Path(self.root))
        (Path(self.raw_folder) / f"{TEST_LABELS}.gz").write_bytes(b"compressed")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(MNIST, "mirrors", ["http://a/", "http://b/"])
    monkeypatch.setattr(MNIST, "download", download)
    folder = tmp_path / "new" / "data"
    assert choose_dataset("mnist", folder) == "mnist"
    assert asked == [(f"http://{m}/{TEST_LABELS}.gz", 10.0) for m in "ab"[: 1 + n_silent]]
    assert patience == [10.0] and socket.getdefaulttimeout() is None
    assert sorted(path.name for path in (folder / "MNIST" / "raw").iterdir()) == sorted(SHAPES)
    assert [path.name for path in folder.iterdir()] == ["MNIST"]


def test_a_file_in_place_of_the_folder_is_refused_before_a_download(tmp_path, monkeypatch):
    (tmp_path / "data").touch()
    monkeypatch.setattr(datasets, "_download", None)
    with pytest.raises(InputError, match=r"data is not a folder; name one that has MNIST/raw/\*-"):
        choose_dataset("auto", tmp_path / "data")


def test_data_sets_are_looked_for_in_data_unless_another_folder_is_named(tmp_path, monkeypatch):
    accept(monkeypatch, write_mnist(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert choose_dataset("auto") == "mnist"
    assert [len(split.labels) for split in load_dataset("mnist")] == [55_000, 5_000, 10_000]
