"""The studies of training in the time domain: what they count, and what they choose."""

import pickle

import numpy as np
import pytest
import torch
from pipeline import DIGITS, folders, run, train
from studied import clipped, clocked, lab_of, parameters, rows

import train_mnist_pytorch
from experiments import __main__ as experiments
from experiments import fine_tuning, learning, sparse_training
from ttfs.conversion import convert
from ttfs.datasets import load_dataset
from ttfs.hardware import Hardware
from ttfs.time_domain import effective_share, mean_activation
from ttfs.training import Trained
from ttfs.windows import calibrated


def setting(correct: int, spikes: int, test: int = 0) -> dict:
    counts = {"validation_correct": correct, "n_validation": 1000, "validation_spikes": spikes}
    return counts | {"snn_correct": test, "n_test": 1000}


def test_the_fewest_spikes_are_chosen_among_settings_that_keep_an_accuracy_on_validation_images():
    good, sparse = [setting(985, 900, 1)] * 2, [setting(981, 90, 2), setting(979, 110, 2)]
    poor = [setting(979, 10, 1000)]
    assert learning.fewest_spikes([good, sparse, poor], 98.0) == sparse
    assert learning.fewest_spikes([good, sparse, poor], 98.1) == good
    assert learning.fewest_spikes([good, sparse, poor], 98.6) is None


def test_spikes_of_the_network_as_converted_are_the_positive_activations(studied):
    for depth in (2, 3):
        (row,) = rows(studied, "sparse_training", depth=depth, network="as converted")
        windows = calibrated(lab_of(studied).network(depth), lab_of(studied).training.images)
        x, spikes = load_dataset("digits")[2].images.numpy().astype(float), 0
        assert row["input_spikes"] == (x > 0).sum()
        for (weight, bias), length in zip(parameters(studied, depth), windows, strict=False):
            x = np.clip(x @ weight + bias, 0, length)
            spikes += (x > 0).sum()
        assert row["spikes"] == spikes and row["neurons"] == 20 * (depth - 1)
        assert row["agreements"] == row["n_test"] == 300 and row["saturations"] == 0


def test_every_sparse_network_is_exact_in_its_own_windows(studied):
    found = rows(studied, "sparse_training")
    assert {row["network"] for row in found} == set(sparse_training.STYLES)
    for row in found:
        assert row["saturations"] == 0 or row["network"] != "as converted"
    unsaturated = [row for row in found if row["saturations"] == 0]
    assert len(unsaturated) > len(found) / 2
    assert all(row["agreements"] == 300 for row in unsaturated)


@pytest.mark.parametrize(
    ("network", "activity", "normalised", "rate"),
    [
        (sparse_training.HOYER, effective_share, True, 8e-3),
        (sparse_training.L1, mean_activation, True, 8e-3),
        (sparse_training.FINE_TUNED, effective_share, False, 1e-3),
    ],
)
def test_sparse_networks_are_trained_as_their_names_say(network, activity, normalised, rate):
    class Seen:
        training = load_dataset("digits")[0]

        def untrained(self, depth, generator):
            return train_mnist_pytorch.initial_network([784, 5, 10], generator)

        def network(self, depth):
            return self.untrained(depth, torch.Generator())

        def retrained(self, start, through, generator, epochs, **settings):
            return start, through, epochs, settings

    _, through, epochs, settings = sparse_training.trained(Seen(), 2, network, 3.0, 0)
    assert through.activity is activity and through.sparsity == 3 and epochs == 30
    assert bool(through.norms) == normalised and settings["learning_rate"] == rate
    assert through.hardware == Hardware() and through.q == 1


def test_windows_of_a_conversion_are_the_best_of_all_candidates_on_validation_images(studied):
    labels = load_dataset("digits")[1].labels.numpy()
    for depth in (2, 3):
        (row,) = rows(studied, "fine_tuning", depth=depth, aim="2 ticks", how="converted")

        def correct(windows, depth=depth):
            return (clocked(studied, depth, windows, 2, "validation") == labels).sum()

        best = correct(row["windows"])
        assert abs(best - row["validation_correct"]) <= 1  # float32 there
        candidates = lab_of(studied).candidates(depth)
        common = [candidates[q] for q in fine_tuning.COMMON]
        assert best >= max(map(correct, common)) - 1


def test_noise_of_the_hardware_depends_on_its_seed_alone(studied):
    lab = lab_of(studied)
    snn = convert(lab.network(2), lab.windows(2, "calibrated"))
    hardware, images = Hardware(jitter=0.3), lab.validation.images
    first, again, other = (
        learning.on_hardware(snn, hardware, seed)(images).logits for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    exact = learning.on_hardware(snn, Hardware())(images).logits
    torch.testing.assert_close(exact, lab.network(2).logits(images), rtol=1e-4, atol=1e-4)


def test_spikes_are_lost_while_learning_for_one_tick_and_not_after(studied, monkeypatch):
    lab, seen = lab_of(studied), []

    def retrained(start, through, generator, epochs, **settings):
        seen.append(through.hardware)
        return Trained(start, through.lengths, [], 0)

    def on_hardware(snn, hardware, noise_seed):
        seen.append(hardware)
        return learning.on_hardware(snn, hardware, noise_seed)

    monkeypatch.setattr(lab, "retrained", retrained)
    monkeypatch.setattr(fine_tuning, "on_hardware", on_hardware)
    (row,) = fine_tuning.measure(lab, 2, "1 tick", fine_tuning.FINE_TUNED)
    assert seen == [Hardware(ticks=1, loss=0.1), Hardware(ticks=1)]
    assert row["noise_seed"] is None
    seen.clear()
    found = fine_tuning.measure(lab, 2, "10 % of the spikes lost", fine_tuning.FINE_TUNED)
    assert seen == 4 * [Hardware(loss=0.1)]
    assert [row["noise_seed"] for row in found] == [1, 2, 3]
    assert len({row["snn_correct"] for row in found}) > 1


def test_a_record_is_judged_on_what_it_was_trained_for_without_its_noise(tmp_path):
    root = train(tmp_path)
    place = root / "models" / "records" / "calm"
    options = ["--from", root / "models", "--jitter", 0.1, "--models", place]
    run(train_mnist_pytorch, *DIGITS, *options, "--results", root / "other")
    out = folders(root, "models", "results", "figures")
    printed = run(experiments, "records", "--dataset", "digits", "--jobs", 1, *out)
    assert "calm" in printed
    found = rows(root, "records")
    assert [(row["record"], row["depth"]) for row in found] == [("calm", 2), ("calm", 3)]
    (root / "calm").mkdir()
    place.rename(root / "calm" / "models")
    labels = load_dataset("digits")[2].labels.numpy()
    for row in found:
        file = pickle.loads((root / f"calm/models/digits_{row['depth']}_layer.pkl").read_bytes())
        answers = clipped(root / "calm", row["depth"], file["windows"]).argmax(1)
        assert row["snn_correct"] == (answers == labels).sum()
        assert row["engine"] == "event-driven" and row["ticks"] is None


def test_records_without_a_network_say_where_the_commands_are(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        places = folders(tmp_path, "models", "results", "figures")
        experiments.main(["records", "--dataset", "digits", "--jobs", "1", *places])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1
    assert "no network of digits in models/records: experiments/README.md has" in complaint
