"""Model files of networks that are more than full connections."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import random_model
from torch import nn

from ttfs import InputError
from ttfs.network import ReluNetwork
from ttfs.storage import ModelFileError, load_model, load_network, save_network


def small(seed=0):
    """Return a network with a standardisation, convolutions, a maximum and a mean."""
    torch.manual_seed(seed)
    return ReluNetwork.from_torch(
        nn.Sequential(
            *(nn.Conv2d(1, 3, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU()),
            *(nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1), nn.Conv2d(3, 4, 2, groups=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(4 * 2 * 2, 5)),
        ).eval(),
        (1, 9, 9),
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), suffix=st.sampled_from([".pkl", ".npz"]))
def test_any_network_is_read_as_it_was_written(tmp_path_factory, seed, suffix):
    model, shape = random_model(seed, wild=False)
    network = ReluNetwork.from_torch(model, shape)
    path = tmp_path_factory.mktemp("models") / f"a{suffix}"
    save_network(path, network, accuracy=1.0)
    again, x = load_network(path), torch.rand(5, *shape, dtype=torch.float64)
    assert again.architecture == network.architecture
    expected = network.changed(rounded).logits(x)
    torch.testing.assert_close(again.logits(x), expected, rtol=1e-12, atol=1e-12)


def rounded(number):
    return number.float().double()


def test_a_file_describes_its_layers_with_builtins(tmp_path):
    save_network(tmp_path / "a.pkl", small())
    contents = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert [step["kind"] for step in contents["layers"][1]["steps"]] == ["mean2d", "conv2d"]
    assert contents["layers"][0]["inputs"] == [1, 9, 9]
    assert contents["layers"][1]["pools"][0]["kernel_size"] == 2
    assert [w.shape for w in contents["weights"]] == [(3, 1, 3, 3), (4, 3, 2, 2), (16, 5)]
    assert contents["architecture"] == [81, 75, 16, 5]


def changed(contents, *path, value):
    """Return a copy with one value changed, or taken away if the new value is ``...``."""
    contents = copy.deepcopy(contents)
    place = contents
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return contents


LAYER, STEP = ("layers", 0), ("layers", 0, "steps", 0)
FAULTS = {
    "no list": (("layers",), 3),
    "no layers": (("layers",), []),
    "no dict": (LAYER, [1]),
    "an unknown kind": ((*STEP, "kind"), "exec"),
    "a kind that is no word": ((*STEP, "kind"), ["conv2d"]),
    "an unknown setting": ((*STEP, "out"), 3),
    "no kind": ((*STEP, "kind"), ...),
    "a stride of 0": ((*STEP, "stride"), [0, 0]),
    "a negative stride": ((*STEP, "stride"), [-1, 1]),
    "a text for a stride": ((*STEP, "stride"), "2"),
    "huge padding": ((*STEP, "padding"), [100_000, 100_000]),
    "negative padding": ((*STEP, "padding"), [-1, 0]),
    "huge dilation": ((*STEP, "dilation"), [10**6, 10**6]),
    "groups that do not fit": ((*STEP, "groups"), 2),
    "another shape": (("layers", 0, "inputs"), [1, 9, 8]),
    "a huge shape": (("layers", 0, "inputs"), [2**20, 2**20]),
    "a negative shape": (("layers", 0, "inputs"), [-1, 9, 9]),
    "shapes that disagree": (("layers", 1, "pooled"), [3, 5, 5]),
    "a huge maximum": (("layers", 1, "pools", 0, "kernel_size"), 10**6),
    "a maximum that is none": (("layers", 1, "pools", 0, "dimensions"), 4),
    "a maximum that returns indices": (("layers", 1, "pools", 0, "return_indices"), True),
    "many maxima": (("layers", 1, "pools"), [{}] * 1000),
    "a step too few": (("layers", 0, "steps"), []),
    "a layer too few": (("layers", 2), ...),
    "an array too few": (("weights", 2), ...),
    "an array of another shape": (("weights", 0), np.zeros((3, 1, 3), np.float32)),
    "biases too few": (("biases", 0), np.zeros(2, np.float32)),
    "one bias for all outputs": (("biases", 2), np.zeros(1, np.float32)),
    "another architecture": (("architecture",), [81, 75, 16, 6]),
}


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "a.pkl"
    save_network(path, small())
    return load_model(path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_description_with_a_fault_is_refused_in_one_line(tmp_path, contents, fault):
    path, value = FAULTS[fault]
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(changed(contents, *path, value=value)))
    with pytest.raises(ModelFileError) as error:
        load_network(file)
    assert "\n" not in str(error.value) and str(file) in str(error.value)


def test_a_layer_has_no_more_neurons_and_maxima_than_the_limits(tmp_path, contents):
    def load(*path, value):
        file = tmp_path / "a.pkl"
        file.write_bytes(pickle.dumps(changed(contents, *path, value=value)))
        return load_network(file)

    pool = contents["layers"][1]["pools"][0] | {"kernel_size": 1}
    assert load("layers", 0, "pools", value=[pool] * 20).architecture == [81, 75, 16, 5]
    with pytest.raises(ModelFileError, match="layer 1 .*more than 20"):
        load("layers", 0, "pools", value=[pool] * 21)
    with pytest.raises(ModelFileError, match="layer 1 .*neurons are more than 16,777,216"):
        load(*STEP, "padding", value=[3000, 3000])


def test_an_array_that_no_layer_names_is_refused(tmp_path, contents):
    more = changed(contents, "weights", value=[*contents["weights"], np.ones((5, 5), "f4")])
    more["biases"] = [*contents["biases"], np.ones(5, "f4")]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(more))
    with pytest.raises(ModelFileError, match="it has more arrays than its layers name"):
        load_network(tmp_path / "a.pkl")


VALUES = [None, True, -1, 0, 3, 10**9, 1e300, "same", "x", [], [[]], {}, [1, 1], [0, 5], [2**40]]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_other_description_is_a_network_or_is_refused(tmp_path_factory, contents, data):
    """Whatever stands in place of one value of the description: never another exception."""
    places, waiting = [], [(("layers",), contents["layers"])]
    while waiting:
        place, value = waiting.pop()
        places.append(place)
        if isinstance(value, dict | list):
            keys = value if isinstance(value, dict) else range(len(value))
            waiting += [((*place, key), value[key]) for key in keys]
    place = data.draw(st.sampled_from(places))
    bad = changed(contents, *place, value=data.draw(st.sampled_from(VALUES)))
    file = tmp_path_factory.mktemp("models") / "a.pkl"
    file.write_bytes(pickle.dumps(bad))
    try:
        network = load_network(file)
    except ModelFileError:
        return
    assert network.logits(torch.rand(2, 81)).shape[0] == 2


def test_layers_cannot_be_recorded_by_hand(tmp_path):
    with pytest.raises(InputError, match="come from the network alone"):
        save_network(tmp_path / "a.pkl", small(), layers=[])
    assert list(tmp_path.iterdir()) == []
