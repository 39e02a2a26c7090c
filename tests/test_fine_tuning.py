"""Training in the time domain from the shell: what files carry, and what the next script does."""

import pickle

import numpy as np
import pytest
import torch
from pipeline import DIGITS, files_below, folders, labels, results, run, train
from studied import clipped, clocked, parameters

import convert_all_models
import train_mnist_pytorch
from ttfs.datasets import load_dataset
from ttfs.stages.time_options import chosen_pass
from ttfs.time_domain import AsRelu
from ttfs.training import initial_network
from ttfs.tuning import clock_lengths

FINE = ["--ticks", 2, "--weight-bits", 4, "--sparsity", 0.2, "--quantile", 0.9]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return train(tmp_path_factory.mktemp("relu"))


@pytest.fixture(scope="module")
def tuned(out, tmp_path_factory):
    """Networks fine-tuned for two ticks, coarse weights and few spikes, and their conversion."""
    root = tmp_path_factory.mktemp("tuned")
    places = folders(root, "models", "results")
    run(train_mnist_pytorch, *DIGITS, "--from", out / "models", "--epochs", 3, *FINE, *places)
    run(convert_all_models, *DIGITS, *places)
    return root


def contents(root, depth: int) -> dict:
    return pickle.loads((root / "models" / f"digits_{depth}_layer.pkl").read_bytes())


def test_a_file_says_what_its_network_was_trained_for(tuned):
    for row in results(tuned, "training")["rows"]:
        file = contents(tuned, row["depth"])
        assert file["trained_for"] == {
            "ticks": 2,
            "weight_bits": 4,
            "jitter": 0.0,
            "loss": 0.0,
            "mismatch": 0.0,
        }
        assert len(file["windows"]) == row["depth"] - 1 and min(file["windows"]) > 0
        assert file["settings"]["sparsity"] == 0.2 and file["settings"]["epochs"] == 3
        assert row["epochs"] == 3 and file["accuracy"] == 100 * row["test_correct"] / 300
        for weight in file["weights"]:
            neuron = weight[:, 0]
            assert len(np.unique(neuron)) <= 15
            steps = neuron / np.abs(neuron[neuron != 0]).min()
            assert np.allclose(steps, np.round(steps), atol=1e-4)


def test_fine_tuning_goes_on_from_the_networks_of_the_folder(out, tuned):
    for depth in (2, 3):
        before, after = parameters(out, depth), parameters(tuned, depth)
        alike = np.corrcoef(before[0][0].ravel(), after[0][0].ravel())[0, 1]
        assert 0.7 < alike < 1


def test_conversion_uses_the_windows_and_the_clock_that_a_network_was_trained_for(tuned):
    rows = results(tuned, "conversion")["rows"]
    assert [row["depth"] for row in rows] == [2, 3]
    trained = {row["depth"]: row for row in results(tuned, "training")["rows"]}
    for row in rows:
        file = contents(tuned, row["depth"])
        assert row["policy"] == "trained" and row["engine"] == "clock:1:half-tick"
        assert row["windows"] == file["windows"]
        assert row["snn_correct"] == trained[row["depth"]]["test_correct"]
        classes = clocked(tuned, row["depth"], row["windows"], 2, "test")
        assert abs((classes == labels()).sum() - row["snn_correct"]) <= 1


def test_windows_and_engines_that_are_asked_for_come_first(tuned, tmp_path):
    asked = ["--windows", "fixed:30", "--engine", "closed-form", "--strict"]
    places = [*folders(tuned, "models"), *folders(tmp_path, "results")]
    run(convert_all_models, *DIGITS, *asked, *places)
    for row in results(tmp_path, "conversion")["rows"]:
        assert (row["policy"], row["engine"]) == ("fixed:30", "closed-form")
        assert row["agreements"] == 300


def test_one_file_can_be_fine_tuned_and_keeps_its_windows_in_continuous_time(out, tmp_path):
    places = folders(tmp_path, "models", "results")
    model = out / "models" / "digits_3_layer.pkl"
    options = ["--from", model, "--epochs", 2, "--jitter", 0.1, "--loss", 0.1]
    run(train_mnist_pytorch, *DIGITS[:2], *options, *places)
    assert list(files_below(tmp_path / "models")) == ["digits_3_layer.pkl"]
    run(convert_all_models, *DIGITS[:2], "--depths", 3, *places)
    rows = results(tmp_path, "conversion")["rows"]
    assert [row["engine"] for row in rows] == ["event-driven", "closed-form"]
    assert {row["policy"] for row in rows} == {"trained"}
    found = clipped(tmp_path, 3, rows[0]["windows"]).argmax(1)
    assert {row["snn_correct"] for row in rows} == {int((found == labels()).sum())}


def test_accuracy_of_a_file_without_a_clock_is_that_of_its_conversion(out, tmp_path):
    places = folders(tmp_path, "models", "results")
    options = ["--from", out / "models", "--weight-bits", 3, "--epochs", 2]
    run(train_mnist_pytorch, *DIGITS, *options, *places)
    run(convert_all_models, *DIGITS, "--dtype", "float32", *places)
    accuracy = {d: contents(tmp_path, d)["accuracy"] for d in (2, 3)}
    assert contents(tmp_path, 2)["settings"]["fine_tuned"] is True
    for row in results(tmp_path, "conversion")["rows"]:
        assert row["policy"] == "trained" and row["agreements"] == 300
        assert 100 * row["snn_correct"] / 300 == accuracy[row["depth"]]


def test_training_from_scratch_through_spikes_with_normalisation(tmp_path):
    places = folders(tmp_path, "models", "results")
    options = ["--depths", 2, "--normalise", "--pixel-noise", 0.2, "--epochs", 3]
    run(train_mnist_pytorch, *DIGITS[:2], *options, *places)
    (row,) = results(tmp_path, "training")["rows"]
    assert row["architecture"] == [784, 400, 10] and row["test_correct"] > 250
    assert "start" not in results(tmp_path, "training")["arguments"]
    assert contents(tmp_path, 2)["trained_for"]["ticks"] is None
    assert contents(tmp_path, 2)["settings"]["fine_tuned"] is False


@pytest.mark.parametrize(
    ("options", "q", "normalised"),
    [
        (["--from", "models", "--ticks", "2"], None, False),
        (["--from", "models", "--ticks", "2", "--quantile", "0.9"], 0.9, False),
        (["--from", "models", "--ticks", "2", "--normalise"], 1.0, True),
        (["--from", "models", "--jitter", "0.1"], 1.0, False),
        (["--ticks", "2"], 1.0, False),
    ],
)
def test_windows_stay_when_a_trained_network_meets_a_clock(options, q, normalised):
    args = train_mnist_pytorch.parse(options)
    training, validation, _ = load_dataset("digits")
    start = initial_network([784, 12, 10], torch.Generator().manual_seed(0))
    found = chosen_pass(args, start, training, validation, torch.Generator())
    assert found.q == q and bool(found.norms) == normalised
    assert found.hardware.ticks == args.ticks and found.hardware.jitter == args.jitter
    if q is None:
        assert found.lengths == clock_lengths(start, training.images, validation.images, 1)


def test_no_option_of_the_time_domain_trains_as_relu():
    args = train_mnist_pytorch.parse(["--depths", "2"])
    assert isinstance(chosen_pass(args, None, None, None, None), AsRelu)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ticks", "3"], "invalid choice: 3"),
        (["--weight-bits", "1"], "invalid choice: 1"),
        (["--loss", "2"], "--loss"),
        (["--quantile", "0"], "--quantile"),
        (["--ticks", "2", "--target", "98"], "--target stops training as ReLU"),
        (["--from", "{models}", "--width", "30"], "--width is of networks that are drawn"),
        (["--from", "{models}/digits_2_layer.pkl", "--depths", "2"], "--depths chooses from"),
        (["--from", "{models}/digits_9_layer.pkl"], "digits_9_layer.pkl not found"),
        (["--from", "{models}", "--depths", "4"], "digits_4_layer.pkl not found"),
        (["--normalise", "--depths", "2", "--batch-size", "1"], "one image is no batch"),
        (["--normalise", "--depths", "2", "--batch-size", "16"], "one image is no batch"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(out, tmp_path, capsys, arguments, words):
    arguments = [argument.format(models=out / "models") for argument in arguments]
    with pytest.raises(SystemExit) as stop:
        places = folders(tmp_path, "models", "results")
        train_mnist_pytorch.main([*DIGITS[:2], *arguments, *places])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1 and words in complaint
    assert not files_below(tmp_path)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"windows": [1.0, 2.0]}, "windows are not a positive length per hidden layer"),
        ({"windows": [0.0]}, "windows are not"),
        ({"windows": "long"}, "windows are not"),
        ({"windows": [float("inf")]}, "windows are not"),
        ({"trained_for": {"ticks": 3}}, "trained_for is no hardware"),
        ({"trained_for": {"tocks": 2}}, "trained_for is no hardware"),
        ({"trained_for": [1]}, "trained_for is no hardware"),
        ({"trained_for": {"jitter": "much"}}, "trained_for is no hardware"),
        ({"trained_for": {"ticks": 2.0}}, "trained_for is no hardware"),
        ({"trained_for": {"ticks": np.array([1, 2])}}, "trained_for is no hardware"),
        ({"trained_for": {"weight_bits": np.array([1, 2])}}, "trained_for is no hardware"),
        ({"windows": [10**400]}, "windows are not"),
    ],
)
def test_a_file_that_says_something_impossible_is_refused(out, tmp_path, capsys, record, words):
    path = tmp_path / "models" / "digits_2_layer.pkl"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(contents(out, 2) | record, protocol=4))
    with pytest.raises(SystemExit) as stop:
        places = folders(tmp_path, "models", "results")
        convert_all_models.main([*DIGITS[:2], "--depths", "2", *places])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1 and words in complaint
