import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import crafted
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttfs.formats.pickles import unpickled
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


REBUILD, FROM_BUFFER = (np.zeros(1).__reduce_ex__(protocol)[0] for protocol in (4, 5))
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


replacement = st.binary(max_size=3)


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


TESTS = Path(__file__).parent
MB = 2**20


def lines_of(script: str, *arguments) -> list[dict]:
    """Return the lines of JSON that a script of this folder prints in a process of its own."""
    command = [sys.executable, str(TESTS / script), *map(str, arguments)]
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{script} ended with {done.returncode}: {done.stderr[-2000:]}"
    return list(map(json.loads, done.stdout.splitlines()))


@pytest.fixture(scope="module")
def judgements(tmp_path_factory) -> dict[str, dict]:
    """Return what came of each crafted file, by its name."""
    folder, paths = tmp_path_factory.mktemp("c"), {}
    for name, made in crafted.FILES.items():
        paths[name] = folder / f"{len(paths)}.pkl"
        paths[name].write_bytes(made())
    return dict(zip(paths, lines_of("judged.py", *paths.values()), strict=True))


@pytest.mark.parametrize("name", crafted.FILES)
def test_crafted_file_is_refused_soon_in_little_memory_with_one_short_line(judgements, name):
    judged = judgements[name]
    assert judged["outcome"] == "refused", judged["message"]
    assert judged["seconds"] < 2  # of the processor, so that a busy machine does not matter
    assert judged["bytes"] < 4 * judged["size"] + 64 * MB
    assert judged["path"] in judged["message"]
    assert len(judged["message"]) < 300 and judged["message"].isprintable()


def test_judge_tells_a_network_an_exception_and_a_signal_from_a_refusal(tmp_path, good_file):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import judged, os, sys\n"
        "judged.load_network = lambda path: {'e': lambda: {}['key'], 's': os.abort}[path]()\n"
        "print(judged.json.dumps(judged.judged(sys.argv[1])))\n"
    )
    assert lines_of("judged.py", good_file)[0]["outcome"] == "network"
    assert [lines_of(bad, kind)[0]["outcome"] for kind in "es"] == ["KeyError", "SIGABRT"]


def test_thousands_of_mixed_opcodes_load_or_are_refused_in_little_memory(tmp_path):
    (counts,) = lines_of("fuzzed.py", 4000, 7, tmp_path)
    assert counts["loaded"] + counts["refused"] == 4000
    assert counts["loaded"] > 100 and counts["refused"] > 1000  # else they show little
    assert counts["bytes"] < 64 * MB


def test_arrays_own_their_bytes(good_file):
    contents = unpickled(good_file.read_bytes())
    for array in contents["weights"] + contents["biases"]:
        assert array.flags.owndata and array.flags.writeable and array.base is None
