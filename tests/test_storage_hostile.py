import os
import pickle
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttfs.network import ReluNetwork
from ttfs.storage import ModelFileError, load_model, load_network, save_network


def small_network() -> ReluNetwork:
    rng = np.random.default_rng(3)
    shapes = [(5, 4), (4, 3)]
    weights = [rng.normal(size=shape).astype("f4") for shape in shapes]
    return ReluNetwork(weights, [rng.normal(size=n).astype("f4") for _, n in shapes])


def pickled(folder: Path, notes, protocol: int = 4) -> Path:
    contents = {"weights": [np.ones((5, 3), "f4")], "biases": [np.ones(3, "f4")], "notes": notes}
    path = folder / "mnist_1_layer.pkl"
    path.write_bytes(pickle.dumps(contents, protocol))
    return path


class Calls:
    """Pickled as a call of a function, as a hostile file would be."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CODE = {
    "os.system by REDUCE": lambda marker: Calls(os.system, f"touch {marker}"),
    "builtins.eval": lambda marker: Calls(eval, f"open({str(marker)!r}, 'w').close()"),
    "builtins.exec": lambda marker: Calls(exec, f"open({str(marker)!r}, 'w').close()"),
    "builtins.open": lambda marker: Calls(open, str(marker), "w"),
    "subprocess": lambda marker: Calls(subprocess.call, ["touch", str(marker)]),
    "ndarray.tofile": lambda marker: Calls(np.ndarray.tofile, np.ones(2), str(marker)),
}


@pytest.mark.filterwarnings("ignore:unclosed file")  # builtins.open, when it does run
@pytest.mark.parametrize("payload", CODE)
def test_file_that_calls_a_function_is_refused_and_nothing_runs(tmp_path, payload):
    marker = tmp_path / "it_ran"
    path = pickled(tmp_path, CODE[payload](marker))
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the payload is harmless: this test would show nothing"
    marker.unlink()
    with pytest.raises(ModelFileError, match=f"{path.name}.*refused as unsafe"):
        load_model(path)
    assert not marker.exists()


REBUILD, FROM_BUFFER = np._core.multiarray._reconstruct, np._core.numeric._frombuffer
FOREIGN = {
    "torch tensor": torch.zeros(2),
    "function": pickled,
    "class": ReluNetwork,
    "path": Path("a"),
    "object array": np.array([None, {}], dtype=object),
    "record array": np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]),
    "string array": np.array(["a"]),
    "object dtype": np.dtype(object),
    "record dtype": np.dtype([("a", "f4")]),
    "object array by calling ndarray": Calls(np.ndarray, (2,), "O"),
    "pointers of the file's choice": Calls(np.ndarray, (1,), "O", b"\x41" * 8),
    "record array by calling ndarray": Calls(np.ndarray, (2,), "V8"),
    "object array by _reconstruct": Calls(REBUILD, np.ndarray, (2,), "O"),
    "record array by _frombuffer": Calls(FROM_BUFFER, b"\x00" * 8, "V8", (1,), "C"),
    "array of whatever lay in memory": Calls(np.ndarray, (5, 4), "f4"),
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("kind", FOREIGN)
def test_file_with_anything_but_containers_numbers_strings_and_numeric_arrays_is_refused(
    tmp_path, kind, protocol
):
    path = pickled(tmp_path, FOREIGN[kind], protocol)
    with pytest.raises(ModelFileError, match=path.name):
        load_model(path)


def loads_or_is_refused(path: Path) -> None:
    try:
        network = load_network(path)
    except ModelFileError as error:
        assert str(path) in str(error)
    else:
        assert network.logits(torch.zeros(1, network.architecture[0])).shape[0] == 1


@pytest.fixture(scope="module")
def good_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "good.pkl"
    save_network(path, small_network(), accuracy=97.25, settings={"epochs": 3})
    return path


def test_file_cut_off_anywhere_is_refused(good_file):
    data = good_file.read_bytes()
    cut = good_file.with_name("cut.pkl")
    for length in range(len(data)):
        cut.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"cut\.pkl is not a model file"):
            load_model(cut)


# 114 (LONG_BINPUT) has a test of its own below: it can fill the memory.
replacement = st.binary(max_size=3).filter(lambda new: b"r" not in new)


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(changes=st.lists(st.tuples(st.floats(0, 0.999), replacement), min_size=1, max_size=3))
def test_file_with_changed_bytes_loads_as_a_network_or_is_refused(good_file, changes):
    data = good_file.read_bytes()
    for place, new in changes:
        start = int(place * len(data))
        data = data[:start] + new + data[start + max(1, len(new)) :]
    changed = good_file.with_name("changed.pkl")
    changed.write_bytes(data)
    loads_or_is_refused(changed)


def test_file_that_names_a_far_memo_entry_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04]r\x00\x00\x00\x01.")  # LONG_BINPUT 2**24; it could be 2**32
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
