import collections
import functools
import io
import json
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
import torch

from ttfs import InputError
from ttfs.network import ReluNetwork
from ttfs.storage import (
    ModelFileError,
    load_model,
    load_network,
    model_path,
    save_network,
)

SIZES = [5, 4, 3]


def source_contents() -> dict:
    """Return what the source project pickles: its four keys and nothing else."""
    rng = np.random.default_rng(3)
    pairs = list(zip(SIZES[:-1], SIZES[1:], strict=True))
    return {
        "weights": [rng.normal(size=pair).astype("f4") for pair in pairs],
        "biases": [rng.normal(size=n).astype("f4") for n in SIZES[1:]],
        "architecture": list(SIZES),
        "accuracy": 98.5,
    }


def small_network() -> ReluNetwork:
    contents = source_contents()
    return ReluNetwork(contents["weights"], contents["biases"])


def pickled(folder: Path, contents, protocol: int = 4) -> Path:
    path = folder / "mnist_2_layer.pkl"
    path.write_bytes(pickle.dumps(contents, protocol))
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_network_loads_with_the_same_float32_values(tmp_path, dtype):
    network = small_network()
    sent = ReluNetwork([w.to(dtype) for w in network.weights], network.biases)
    save_network(tmp_path / "a.pkl", sent, accuracy=97.25, settings={"epochs": 3})
    loaded = load_network(tmp_path / "a.pkl")
    for expected, found in zip(
        network.weights + network.biases, loaded.weights + loaded.biases, strict=True
    ):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)
    contents = load_model(tmp_path / "a.pkl")
    assert (contents["architecture"], contents["accuracy"]) == (SIZES, 97.25)
    assert contents["settings"] == {"epochs": 3}


def test_saved_file_opens_with_plain_pickle_as_built_ins_and_arrays(tmp_path):
    save_network(tmp_path / "a.pkl", small_network(), accuracy=97.25)
    contents = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert [w.shape for w in contents["weights"]] == [(5, 4), (4, 3)]
    assert {type(a) for a in contents["weights"] + contents["biases"]} == {np.ndarray}


def test_equal_networks_give_equal_bytes_whatever_their_layout_in_memory(tmp_path):
    first, second = tmp_path / "a.pkl", tmp_path / "b.pkl"
    save_network(first, small_network(), accuracy=97.25, dataset="mnist")
    contents = load_model(first)
    other_layout = [np.asfortranarray(w) for w in contents["weights"]]
    network = ReluNetwork(other_layout, contents["biases"])
    save_network(second, network, accuracy=contents["accuracy"], dataset=contents["dataset"])
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("protocol", range(6))
def test_file_with_only_the_source_keys_loads(tmp_path, protocol):
    contents = source_contents()
    network = load_network(pickled(tmp_path, contents, protocol))
    assert network.architecture == SIZES
    assert np.array_equal(network.weights[1].numpy(), contents["weights"][1])


FILES = Path(__file__).parent / "model_files"


def test_model_files_of_two_numpys_and_six_protocols_are_there():
    assert len(list(FILES.glob("numpy_1.*.pkl"))) == len(list(FILES.glob("numpy_2.*.pkl"))) == 6


@pytest.mark.parametrize("path", sorted(FILES.glob("*.pkl")), ids=lambda path: path.stem)
def test_file_of_another_numpy_and_any_protocol_loads(path):
    # Each was pickled, by the NumPy and under the protocol in its name, from these values. One
    # weight lies in Fortran order, one bias is float64, and the accuracy is a number of NumPy's.
    rng = np.random.RandomState(3)
    weights = [rng.normal(size=shape).astype("f4") for shape in [(5, 4), (4, 3)]]
    biases = [np.zeros(4, "f4"), rng.normal(size=3)]
    contents = load_model(path)
    assert contents["architecture"] == SIZES
    assert (type(contents["accuracy"]), contents["accuracy"]) == (float, 98.5)
    for key, arrays in {"weights": weights, "biases": biases}.items():
        for expected, found in zip(arrays, contents[key], strict=True):
            assert found.dtype == expected.dtype and np.array_equal(found, expected)
    assert load_network(path).architecture == SIZES


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_that_was_optimised_or_written_in_python_loads(tmp_path, protocol):
    contents = source_contents()
    shortened = pickletools.optimize(pickle.dumps(contents, protocol))
    in_python = io.BytesIO()
    pickle._Pickler(in_python, protocol).dump(contents)
    for data in (shortened, in_python.getvalue()):
        path = tmp_path / "a.pkl"
        path.write_bytes(data)
        assert np.array_equal(load_model(path)["weights"][0], contents["weights"][0])


@pytest.mark.parametrize("size", [5, 500])
def test_array_that_is_named_for_several_layers_loads(tmp_path, size):
    square, bias = np.eye(size, dtype="f4"), np.zeros(size, "f4")
    path = pickled(tmp_path, {"weights": [square] * 10, "biases": [bias] * 10})
    assert load_network(path).architecture == [size] * 11


PLAUSIBLE = {
    "a long history": [0.1 * n for n in range(50_000)],
    "NumPy's numbers": [np.float32(0.5), np.int64(3), np.bool_(True), np.float64(0.1)],
    "no values": [[], (), {}, None, ""],
    "empty arrays": [np.array([]), np.zeros((0, 3), "i4")],
    "arrays": [np.ones((2, 3, 4)), np.ones(3, bool), np.ones(3) * 1j, np.array(98.5)],
    "another alphabet": "\u8bad\u7ec3" * 2000,
    "nearly plain text": "a" * 30_000 + "\u2713",
    "an ordered dict": collections.OrderedDict(epochs=3, rates=collections.OrderedDict()),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", PLAUSIBLE)
def test_what_users_record_beside_a_network_loads(tmp_path, kind, protocol):
    path = pickled(tmp_path, source_contents() | {"record": PLAUSIBLE[kind]}, protocol)
    np.testing.assert_equal(load_model(path)["record"], PLAUSIBLE[kind])


@pytest.mark.parametrize("sizes", [tuple(SIZES), np.array(SIZES), [5.0, 4.0, 3.0]])
def test_architecture_may_be_a_tuple_an_array_or_fractions(tmp_path, sizes):
    path = pickled(tmp_path, source_contents() | {"architecture": sizes})
    assert load_network(path).architecture == SIZES


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<i4", ">i4", "<f2", "i1"])
def test_values_survive_any_byte_order_and_width(tmp_path, dtype, protocol):
    contents = source_contents()
    contents["weights"] = [np.round(8 * w).astype(dtype) for w in contents["weights"]]
    contents["weights"][0] = np.asfortranarray(contents["weights"][0])
    network = load_network(pickled(tmp_path, contents, protocol))
    for expected, found in zip(contents["weights"], network.weights, strict=True):
        assert np.array_equal(found.numpy(), expected)


def test_missing_file_names_itself_and_the_command_that_makes_it(tmp_path):
    with pytest.raises(ModelFileError, match=r"mnist_4_layer\.pkl.*python train_mnist_pytorch\.py"):
        load_network(tmp_path / "mnist_4_layer.pkl")


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="directory"):
        load_network(tmp_path)


GOOD = source_contents()
W, B = GOOD["weights"], GOOD["biases"]
NAN, INF = np.full((5, 4), np.nan), np.where(np.eye(5, 4) > 0, np.inf, 0)
UNUSABLE = {
    "weights transposed": ({"weights": [w.T for w in W]}, "give each one's .T"),
    "layers swapped": ({"weights": W[::-1]}, "chain"),
    "bias of another layer": ({"biases": [B[0], B[0]]}, "chain"),
    "a bias missing": ({"biases": B[:1]}, "bias"),
    "no layers": ({"weights": [], "biases": []}, "0 weight"),
    "empty weights": ({"weights": [np.zeros((5, 0), "f4"), W[1]]}, r"weights\[0\].*empty"),
    "weights of one dimension": ({"weights": [W[0].ravel(), W[1]]}, r"weights\[0\].*shape"),
    "biases of two dimensions": ({"biases": [B[0][None], B[1]]}, r"biases\[0\].*shape"),
    "NaN": ({"weights": [NAN, W[1]]}, r"weights\[0\].*NaN"),
    "infinite": ({"weights": [INF, W[1]]}, r"weights\[0\].*infinite"),
    "NaN bias": ({"biases": [B[0], B[1] * np.nan]}, r"biases\[1\].*NaN"),
    "complex": ({"weights": [W[0] * 1j, W[1]]}, r"weights\[0\].*complex"),
    "booleans": ({"weights": [W[0] > 0, W[1]]}, r"weights\[0\].*bool"),
    "strings": ({"weights": [W[0].astype(str).tolist(), W[1]]}, r"weights\[0\].*numeric"),
    "nothing": ({"weights": [None, W[1]]}, r"weights\[0\].*numeric"),
    "ragged rows": ({"weights": [[[1.0, 2.0], [3.0]], W[1]]}, r"weights\[0\]"),
    "not a list": ({"weights": W[0]}, "weights.*list"),
    "a dict": ({"biases": {"0": B[0], "1": B[1]}}, "biases.*list"),
    "a dict with whole numbers as keys": (
        {"biases": dict(enumerate(B))},
        "keys must be short strings",
    ),
    "lists of numbers": (
        {"weights": [w.tolist() for w in W]},
        r"weights\[0\].*numeric array.*list",
    ),
    "a number": ({"biases": [B[0], 0.5]}, r"biases\[1\].*numeric array.*float"),
    "another architecture": ({"architecture": [5, 9, 3]}, "architecture.*9"),
    "a longer architecture": ({"architecture": [5, 4, 3, 3]}, "architecture"),
    "architecture of text": ({"architecture": "5-4-3"}, "architecture"),
    "architecture of arrays": ({"architecture": [np.array([5, 5]), 4, 3]}, "architecture"),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_unusable_network_is_refused_with_file_and_fault(tmp_path, fault):
    changes, words = UNUSABLE[fault]
    path = pickled(tmp_path, GOOD | changes)
    with pytest.raises(ModelFileError, match=words) as refusal:
        load_network(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("contents", [None, [1, 2], {}, {"weights": W}, {"biases": B}, "text", 7])
def test_pickle_of_something_else_is_refused(tmp_path, contents):
    with pytest.raises(ModelFileError, match="mnist_2_layer.pkl.*no dict with `weights`"):
        load_network(pickled(tmp_path, contents))


@pytest.mark.parametrize("kind", ["archive", "old archive", "pickle"])
def test_torch_file_is_refused_with_the_call_that_makes_a_model_file_of_it(tmp_path, kind):
    model = torch.nn.Linear(3, 2)
    if kind == "pickle":
        (tmp_path / "model.pt").write_bytes(pickle.dumps(model.state_dict()))
    else:
        archive = kind == "archive"
        torch.save(
            model.state_dict(), tmp_path / "model.pt", _use_new_zipfile_serialization=archive
        )
    with pytest.raises(ModelFileError, match="comes from torch.*torch.load.*save_network"):
        load_network(tmp_path / "model.pt")


def test_network_that_could_not_be_read_again_is_not_written(tmp_path):
    network = ReluNetwork([np.full((2, 1), 1e300)], [np.zeros(1)])  # infinite in float32
    with pytest.raises(InputError, match="a.pkl: .*infinite"):
        save_network(tmp_path / "a.pkl", network)
    assert list(tmp_path.iterdir()) == []


def test_npz_keeps_what_a_pickle_keeps(tmp_path):
    record = {"accuracy": 97.25, "settings": {"epochs": 3, "names": ["a", None, True]}}
    for name in ("a.pkl", "a.npz"):
        save_network(tmp_path / name, small_network(), **record)
    pickled, archived = (load_model(tmp_path / name) for name in ("a.pkl", "a.npz"))
    assert pickled.keys() == archived.keys()
    for key in ("weights", "biases"):
        for expected, found in zip(pickled.pop(key), archived.pop(key), strict=True):
            assert found.dtype == np.float32 and np.array_equal(found, expected)
    assert pickled == archived
    assert load_network(tmp_path / "a.npz").architecture == SIZES


def test_equal_networks_give_equal_archives(tmp_path):
    for name in ("a.npz", "b.npz"):
        save_network(tmp_path / name, small_network(), accuracy=97.25)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_npz_opens_with_plain_numpy_and_without_pickles(tmp_path):
    save_network(tmp_path / "a.npz", small_network(), accuracy=97.25)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        names = {"weights_0", "biases_0", "weights_1", "biases_1", "record"}
        assert set(file.files) == names
        assert np.array_equal(file["weights_1"], source_contents()["weights"][1])
        assert json.loads(file["record"].tobytes()) == {"architecture": SIZES, "accuracy": 97.25}


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<i4", ">i4", "<f2", "i1"])
def test_npz_of_plain_numpy_loads_under_any_name(tmp_path, dtype):
    weight = np.asfortranarray(np.round(8 * W[0]).astype(dtype))
    arrays = {"weights_0": weight, "biases_0": B[0], "weights_1": W[1], "biases_1": B[1]}
    with (tmp_path / "model").open("wb") as file:
        np.savez(file, **arrays)
    network = load_network(tmp_path / "model")
    assert np.array_equal(network.weights[0].numpy(), weight)


def test_npz_that_is_changed_in_any_byte_loads_as_a_network_or_is_refused(tmp_path):
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    save_network(path, small_network(), accuracy=97.25)
    data, refused = path.read_bytes(), 0
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ rng.integers(1, 256)]) + data[place + 1 :]
        path.write_bytes(changed)
        try:
            assert load_network(path).architecture == SIZES
        except ModelFileError as error:
            assert len(str(error)) < 300 and str(error).isprintable()
            refused += 1
    assert refused > len(data) / 2  # what lies in an archive has a checksum
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            load_network(path)


UNKEPT = {
    "a tensor": torch.ones(2),
    "an object": Path("a"),
    "a set": {1, 2},
    "bytes": b"a",
    "whole numbers as keys": {1: 2},
    "an array of text": np.array(["a"]),
    "a number of 5,000 digits": 10**5000,
    "too many values": [0] * 300_000,
    "a long key": {"k" * 1000: 1},
    "lists in lists": functools.reduce(lambda inner, _: [inner], range(5000), []),
}


@pytest.mark.parametrize("name", ["a.pkl", "a.npz"])
@pytest.mark.parametrize("kind", UNKEPT)
def test_record_that_could_not_be_read_again_is_not_written(tmp_path, kind, name):
    with pytest.raises(InputError, match=f"{name} cannot keep this network: "):
        save_network(tmp_path / name, small_network(), note=UNKEPT[kind])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.pkl", "a.npz"])
def test_numbers_of_numpy_are_kept_as_numbers(tmp_path, name):
    record = {"accuracy": np.float32(98.5), "seed": np.int64(3), "last": np.bool_(True)}
    save_network(tmp_path / name, small_network(), **record, rate=np.float64(0.1))
    contents = load_model(tmp_path / name)
    found = [contents[key] for key in (*record, "rate")]
    assert found == [98.5, 3, True, 0.1] and list(map(type, found)) == [float, int, bool, float]


@pytest.mark.parametrize("key", ["weights", "biases", "architecture", "layers"])
def test_record_does_not_take_the_place_of_the_network(tmp_path, key):
    with pytest.raises(InputError, match="come from the network alone"):
        save_network(tmp_path / "a.pkl", small_network(), **{key: None})
    assert list(tmp_path.iterdir()) == []


def test_npz_that_speaks_of_torch_files_is_not_taken_for_one(tmp_path):
    save_network(tmp_path / "a.npz", small_network(), source="runs/data.pkl")
    assert load_model(tmp_path / "a.npz")["source"] == "runs/data.pkl"


def test_array_is_recorded_in_a_pickle_and_not_in_an_npz(tmp_path):
    save_network(tmp_path / "a.pkl", small_network(), note=np.arange(3))
    assert load_model(tmp_path / "a.pkl")["note"].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"a\.npz cannot keep this network: .*ndarray"):
        save_network(tmp_path / "a.npz", small_network(), note=np.arange(3))


def test_model_is_looked_for_as_a_pickle_or_as_an_npz_but_not_both(tmp_path):
    path = tmp_path / "mnist_2_layer.pkl"
    assert model_path(tmp_path, "mnist", 2) == path
    path.with_suffix(".npz").touch()
    assert model_path(tmp_path, "mnist", 2) == path.with_suffix(".npz")
    path.touch()
    with pytest.raises(InputError, match=r"mnist_2_layer\.pkl and .*\.npz.*keep one"):
        model_path(tmp_path, "mnist", 2)


def test_device_in_place_of_a_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.pkl")
    for path in (tmp_path / "a.pkl", "/dev/zero"):
        with pytest.raises(ModelFileError, match="device"):
            load_network(path)
