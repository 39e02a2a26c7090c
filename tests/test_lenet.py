"""The convolutional network: its training, and every script on such a network."""

import json
import pickle

import pytest
import torch
from pipeline import files_below, folders, run, save_small_lenet

import convert_all_models
import create_plot
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
import train_mnist_pytorch
from ttfs.datasets import Split, load_dataset
from ttfs.lenet import SHAPE, AsModel, augmented, lenet
from ttfs.network import random_network
from ttfs.storage import load_model, load_network, save_network
from ttfs.training import train

LENET = ["--dataset", "digits", "--network", "lenet"]


def few(split: Split, n: int) -> Split:
    return Split(split.images[:n], split.labels[:n])


def trained(seed=0, **settings):
    training, validation, _ = load_dataset("digits")
    torch.manual_seed(seed)
    through = AsModel(lenet())
    settings = {"epochs": 1, "batch_size": 32, "learning_rate": 1e-3} | settings
    generator = torch.Generator().manual_seed(seed)
    start = through.delivered()
    images = few(training, 128), few(validation, 50)
    return through, train(start, *images, generator=generator, through=through, **settings)


def test_the_model_learns_and_what_it_has_become_is_returned():
    through, found = trained(epochs=2, learning_rate=2e-3)
    model, images = through.model.eval(), load_dataset("digits")[1].images[:50]
    expected = model(images.unflatten(1, SHAPE)).detach()
    torch.testing.assert_close(found.network.logits(images), expected, rtol=1e-4, atol=1e-5)
    assert found.network.architecture == [784, 25088, 12544, 256, 10]
    assert all(number.dtype == torch.float32 for number in found.network.numbers)
    right = int((expected.argmax(1) == load_dataset("digits")[1].labels[:50]).sum())
    assert found.history[-1] == found.correct == right > 10
    assert found.windows == []


def test_one_seed_gives_one_network_and_distortions_change_it():
    (_, first), (_, again) = trained(), trained()
    distorted = trained(augmented=augmented("digits"))[1]
    for one, same, other in zip(
        first.network.numbers, again.network.numbers, distorted.network.numbers, strict=True
    ):
        assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("dataset", ["mnist", "digits", "fashion"])
def test_every_image_is_distorted_otherwise_and_stays_in_0_to_1(dataset):
    x = load_dataset("digits")[0].images[:1].repeat(20, 1)
    torch.manual_seed(0)
    found = augmented(dataset)(x)
    torch.manual_seed(0)
    assert torch.equal(found, augmented(dataset)(x))
    assert found.shape == x.shape and found.min() >= 0 and found.max() <= 1
    assert len(found.unique(dim=0)) > 10


def test_clothes_are_turned_over_and_digits_are_not():
    left = torch.zeros(40, *SHAPE)
    left[:, :, :, 3:9] = 1
    for dataset, turned in (("fashion", True), ("mnist", False)):
        torch.manual_seed(0)
        found = augmented(dataset)(left.flatten(1)).unflatten(1, SHAPE)
        on_the_right = found[..., 14:].sum((1, 2, 3)) > found[..., :14].sum((1, 2, 3))
        assert on_the_right.any() == turned and not on_the_right.all()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a folder with a small network in LeNet's place, after all scripts have seen it."""
    root = tmp_path_factory.mktemp("lenet")
    save_small_lenet(root)
    run(convert_all_models, *LENET, *folders(root, "models", "results"))
    run(create_plot, *LENET, *folders(root, "results", "figures"))
    for script in (spike_distribution_plot, time_axis_schematic):
        run(script, *LENET, *folders(root, "models", "results", "figures"))
    options = ["--random-depths", "--samples", 50]
    run(numerical_exactness_test, *LENET, *options, *folders(root, "models", "results"))
    return root


def rows(root, name):
    return json.loads((root / "results" / "digits" / "lenet" / f"{name}.json").read_text())["rows"]


def test_scripts_write_into_folders_of_the_networks_own(root):
    names = {name for name in files_below(root) if not name.startswith("models")}
    assert all("digits/lenet/" in name for name in names)
    assert {name.rpartition("/")[2] for name in names} == {
        *("conversion.json", "conversion.md", "depth_comparison.png"),
        *("exactness.json", "exactness.md"),
        *(f"spike_time_distributions.{kind}" for kind in ("json", "md", "png")),
        *(f"time_axis_schematic.{kind}" for kind in ("json", "md", "png")),
    }


def test_both_engines_give_the_models_labels(root):
    model, test = save_small_lenet(root), load_dataset("digits")[2]
    labels = model.double()(test.images.double().unflatten(1, SHAPE)).argmax(1)
    found = rows(root, "conversion")
    assert [row["engine"] for row in found] == ["event-driven", "closed-form"]
    for row in found:
        assert row["depth"] == 4 and row["hidden_neurons"] == 4 * 64 + 6 * 16 + 60
        assert row["agreements"] == row["n_test"] == 300
        assert row["relu_correct"] == int((labels == test.labels).sum()) > 200
        assert not any(layer["saturations"] + layer["missing"] for layer in row["audit"])


def test_the_certificate_covers_every_engine_and_precision(root):
    outputs = [row for row in rows(root, "exactness") if row["output"]]
    assert len(outputs) == 12 and all(row["broken"] == 0 for row in outputs)
    wide = [row for row in outputs if row["dtype"] in ("float64", "float32")]
    assert all(row["agreements"] == row["n_test"] == 50 for row in wide)


def few_splits(*_):
    training, validation, test = load_dataset("digits")
    return few(training, 96), few(validation, 20), few(test, 20)


def test_training_in_the_time_domain_goes_on_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(train_mnist_pytorch, "load_dataset", few_splits)
    save_small_lenet(tmp_path)
    start = load_network(tmp_path / "models" / "digits_lenet.pkl")
    arguments = ["--from", tmp_path / "models", "--models", tmp_path / "tuned", "--epochs", 1]
    arguments += ["--ticks", 4, "--sparsity", 0.1, "--augment"]
    run(train_mnist_pytorch, *LENET, *arguments, *folders(tmp_path, "results"))
    contents = load_model(tmp_path / "tuned" / "digits_lenet.pkl")
    assert contents["settings"]["augment"] and contents["trained_for"]["ticks"] == 4
    assert len(contents["windows"]) == 3
    found = load_network(tmp_path / "tuned" / "digits_lenet.pkl")
    assert found.architecture == start.architecture
    assert not torch.equal(found.numbers[0], start.numbers[0])
    places = ["--models", tmp_path / "tuned", *folders(tmp_path, "results")]
    assert "clock:2:half-tick" in run(convert_all_models, *LENET, *places)


def test_a_lenet_that_a_script_trains_says_how(tmp_path, monkeypatch):
    monkeypatch.setattr(train_mnist_pytorch, "load_dataset", few_splits)
    run(train_mnist_pytorch, *LENET, "--epochs", 1, *folders(tmp_path, "models", "results"))
    contents = pickle.loads((tmp_path / "models" / "digits_lenet.pkl").read_bytes())
    expected = {"epochs": 1, "batch_size": 128, "learning_rate": 2e-3, "target": None}
    assert contents["settings"] == expected | {"augment": False}
    assert contents["dataset"] == "digits" and len(contents["validation_correct"]) == 1
    (row,) = rows(tmp_path, "training")
    assert row["depth"] == 4 and row["n_test"] == 20


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--depths", "2"], "--depths are of fully connected networks: lenet has 4"),
        (["--width", "20"], "--width is of fully connected networks"),
        (["--target", "99"], "learns for --epochs"),
        (["--ticks", "4"], "in the time domain --from that"),
        (["--normalise", "--from", "models"], "learns for --epochs"),
    ],
)
def test_options_that_make_no_sense_for_it_are_refused(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as ended:
        train_mnist_pytorch.main([*LENET, *arguments])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and complaint in error and error.count("\n") == 1


@pytest.mark.parametrize(("kind", "other"), [("lenet", "mlp"), ("mlp", "lenet")])
def test_a_file_of_the_other_kind_is_refused_with_what_to_do(tmp_path, capsys, kind, other):
    save_small_lenet(tmp_path)
    path = tmp_path / "models" / "digits_lenet.pkl"
    if kind == "lenet":
        path = tmp_path / "a.pkl"
        save_network(path, random_network([784, 5, 10], 0))
    arguments = ["--dataset", "digits", "--network", kind, "--from", path, "--epochs", 1]
    with pytest.raises(SystemExit) as ended:
        places = folders(tmp_path, "models", "results")
        train_mnist_pytorch.main([*map(str, arguments), *places])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and f"use --network {other}" in error and error.count("\n") == 1


def test_a_missing_lenet_is_named_with_the_command_that_makes_it(tmp_path, capsys):
    with pytest.raises(SystemExit):
        convert_all_models.main([*LENET, *map(str, folders(tmp_path, "models", "results"))])
    error = capsys.readouterr().err
    command = "python train_mnist_pytorch.py --dataset digits --network lenet --augment"
    assert "digits_lenet.pkl not found" in error and command in error
