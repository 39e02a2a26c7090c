"""What a script reads: the data set that is drawn, the images that are drawn, trained networks."""

import os
from argparse import Namespace

import pytest

from ttfs.hardware import Hardware
from ttfs.network import random_network
from ttfs.stages.inputs import (
    command_for,
    dataset_measured_last,
    image_places,
    load_models,
    load_networks,
    load_trained,
)
from ttfs.stages.options import ROOT
from ttfs.storage import ModelFileError, model_path, save_network


def saved(folder, depth=2, dataset="digits", sizes=(784, 6, 10), **record):
    """Keep an untrained network as the one of this depth, and return its path."""
    path = folder / f"{dataset}_{depth}_layer.pkl"
    save_network(path, random_network(sizes, 0), **{"dataset": dataset} | record)
    return path


@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_auto_draws_what_was_measured_last(tmp_path, network):
    assert dataset_measured_last("auto", tmp_path, "a.json", network) == "mnist"
    kind = tmp_path / ("" if network == "mlp" else network)
    digits = tmp_path / "digits" / ("" if network == "mlp" else network)
    for n, (folder, name) in enumerate([(digits, "digits"), (kind, "mnist"), (digits, "digits")]):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.json").touch()
        os.utime(folder / "a.json", (1000 + n, 1000 + n))
        assert dataset_measured_last("auto", tmp_path, "a.json", network) == name
    assert dataset_measured_last("fashion", tmp_path, "a.json", network) == "fashion"


@pytest.mark.parametrize(
    ("dataset", "changes", "options"),
    [
        ("mnist", {}, ""),
        ("digits", {}, " --dataset digits"),
        ("fashion", {"network": "lenet"}, " --dataset fashion --network lenet"),
        ("mnist", {"results": "elsewhere"}, " --results elsewhere"),
        ("mnist", {"quick": True, "results": ROOT / "results" / "look"}, " --quick"),
        ("mnist", {"quick": True, "results": ROOT / "results"}, ""),
        ("mnist", {"quick": True, "results": "other"}, " --results other"),
        (
            "mnist",
            {"results": ROOT / "results" / "look"},
            f" --results {ROOT / 'results' / 'look'}",
        ),
        (
            "mnist",
            {"quick": False, "results": ROOT / "results" / "look"},
            f" --results {ROOT / 'results' / 'look'}",
        ),
    ],
)
def test_the_command_makes_the_file_that_is_read(dataset, changes, options):
    args = Namespace(**{"network": "mlp", "results": ROOT / "results"} | changes)
    assert command_for("a.py", dataset, args) == f"python a.py{options}"


def test_images_are_all_of_them_or_some_in_order_that_the_seed_draws():
    for samples in (None, 10, 11):
        assert image_places(10, samples, 3).tolist() == list(range(10))
    places = image_places(1000, 9, 3).tolist()
    assert len(places) == 9 and places == sorted(set(places)) and max(places) >= 9
    assert image_places(1000, 9, 3).tolist() == places != image_places(1000, 9, 4).tolist()


def test_a_network_comes_with_what_it_was_trained_for(tmp_path):
    path = saved(tmp_path, windows=[1.5], trained_for={"ticks": 4, "jitter": 0.1}, seed=3)
    model = load_trained(path, "digits")
    assert (model.windows, model.hardware) == ([1.5], Hardware(ticks=4, jitter=0.1))
    assert model.network.architecture == [784, 6, 10] and "3" in model.training
    plain = load_trained(saved(tmp_path), "digits")
    assert (plain.windows, plain.hardware) == (None, Hardware())
    assert plain.training != model.training


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"dataset": "mnist"}, "trained on 'mnist', not on digits"),
        ({"dataset": None}, "trained on no data set, not on digits"),
        ({"sizes": (783, 6, 10)}, "783 inputs and 10 outputs; 28 x 28 digits need 784 and 10"),
        ({"sizes": (784, 6, 9)}, "784 inputs and 9 outputs"),
        *(
            ({"windows": windows}, "windows are not a positive length per hidden layer")
            for windows in ([], [1.0, 2.0], [0], [-1.0], ["1"], [None], 1.5, (1.5,), [float("nan")])
        ),
        ({"windows": [float("inf")]}, "windows are not a positive length"),
        ({"trained_for": {"colour": 1}}, "trained_for is no hardware that is known here"),
        ({"trained_for": {"ticks": -1}}, "trained_for is no hardware that is known here"),
        ({"trained_for": 3}, "trained_for is no hardware that is known here"),
    ],
)
def test_a_file_that_says_something_impossible_is_refused(tmp_path, record, words):
    path = tmp_path / "digits_2_layer.pkl"
    sizes = record.get("sizes", (784, 6, 10))
    record = {key: value for key, value in record.items() if key != "sizes"}
    save_network(path, random_network(sizes, 0), **{"dataset": "digits"} | record)
    with pytest.raises(ModelFileError, match=words) as refusal:
        load_trained(path, "digits")
    assert str(path) in str(refusal.value)


def test_a_file_that_names_no_data_set_is_of_the_one_in_its_name(tmp_path):
    save_network(tmp_path / "digits_2_layer.pkl", random_network([784, 6, 10], 0))
    assert load_trained(tmp_path / "digits_2_layer.pkl", "digits").network.depth == 2


def test_networks_are_those_of_the_depths_in_order_and_each_has_its_own(tmp_path, caplog):
    saved(tmp_path, 2, seed=1)
    saved(tmp_path, 3, sizes=(784, 6, 5, 10), seed=1)
    found = load_networks(tmp_path, "digits", [3, 2, 3])
    assert [(depth, network.depth) for depth, network in found.items()] == [(2, 2), (3, 3)]
    assert not caplog.records
    saved(tmp_path, 4, seed=1)
    with pytest.raises(ModelFileError, match="digits_4_layer.pkl: 2 weight layers, not 4"):
        load_models(tmp_path, "digits", [2, 4])


@pytest.mark.parametrize("other", [{"seed": 2}, {"seed": 1, "settings": {"epochs": 3}}])
def test_networks_of_two_trainings_are_noticed(tmp_path, caplog, other):
    saved(tmp_path, 2, seed=1)
    saved(tmp_path, 3, sizes=(784, 6, 5, 10), **other)
    assert load_models(tmp_path, "digits", [2, 3])[3].network.depth == 3
    (line,) = caplog.messages
    words = "networks were trained with different seeds or settings: of 2 layers; of 3 layers"
    assert line == f"{tmp_path}: the {words}"


def test_the_network_of_another_training_is_told_from_the_others(tmp_path, caplog):
    for depth in (2, 3, 4, 5):
        saved(tmp_path, depth, sizes=(784, *[6] * (depth - 1), 10), seed=int(depth == 4))
    load_models(tmp_path, "digits", [5, 4, 3, 2])
    (line,) = caplog.messages
    assert line.endswith(": of 2, 3, 5 layers; of 4 layers")


def test_networks_are_fully_connected_ones_unless_another_kind_is_asked_for(tmp_path):
    saved(tmp_path)
    path = model_path(tmp_path, "digits", 2, "lenet")
    path.parent.mkdir(exist_ok=True)
    save_network(path, random_network((784, 7, 10), 0), dataset="digits")
    assert load_networks(tmp_path, "digits", [2])[2].architecture == [784, 6, 10]
    assert load_networks(tmp_path, "digits", [2], "lenet")[2].architecture == [784, 7, 10]
    (tmp_path / "digits").mkdir(exist_ok=True)
    (tmp_path / "digits" / "a.json").touch()
    assert dataset_measured_last("auto", tmp_path, "a.json") == "digits"
