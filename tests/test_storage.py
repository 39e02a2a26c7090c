import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ttfs import InputError
from ttfs.affine import Affine
from ttfs.network import Layer, ReluNetwork
from ttfs.storage import ModelFileError, load_model, load_network, save_network, written_atomically

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


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_file_with_only_the_source_keys_loads(tmp_path, protocol):
    contents = source_contents()
    network = load_network(pickled(tmp_path, contents, protocol))
    assert network.architecture == SIZES
    assert np.array_equal(network.weights[1].numpy(), contents["weights"][1])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_file_of_an_old_numpy_loads(tmp_path, protocol):
    path = pickled(tmp_path, source_contents(), protocol)
    data = path.read_bytes()
    if protocol >= 4:
        data = data[:2] + data[11:]  # without its frame, whose length would no longer be right
    for name in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + name, b"numpy.core." + name
        data = data.replace(b"c" + new + b"\n", b"c" + old + b"\n")
        data = data.replace(bytes([len(new)]) + new, bytes([len(old)]) + old)
    assert b"numpy.core." in data and b"numpy._core" not in data
    path.write_bytes(data)
    assert load_network(path).architecture == SIZES


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<i4", ">i4", "<f2"])
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
    "a dict": ({"biases": dict(enumerate(B))}, "biases.*list"),
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


def test_exception_while_writing_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_atomically(path) as temporary:
        assert temporary.parent == path.parent  # on the same disk: the move cannot be half done
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_written_file_replaces_the_old_one_with_ordinary_permissions(tmp_path):
    path = tmp_path / "new folder" / "a.json"
    for text in ("old", "new"):
        with written_atomically(path) as temporary:
            temporary.write_text(text)
    (tmp_path / "plain").touch()
    assert path.read_text() == "new"
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list(path.parent.iterdir())) == 1


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


def test_convolutional_network_is_not_written_as_something_else(tmp_path):
    network = ReluNetwork.of_layers([Layer(Affine.of(torch.nn.Conv2d(1, 2, 3), [1, 4, 4]))])
    with pytest.raises(InputError, match="only a network of fully connected layers"):
        save_network(tmp_path / "a.pkl", network)
    assert list(tmp_path.iterdir()) == []


def test_network_that_could_not_be_read_again_is_not_written(tmp_path):
    network = ReluNetwork([np.full((2, 1), 1e300)], [np.zeros(1)])  # infinite in float32
    with pytest.raises(InputError, match="a.pkl: .*infinite"):
        save_network(tmp_path / "a.pkl", network)
    assert list(tmp_path.iterdir()) == []
