"""What the training script hands to training, and what it keeps of it. Nothing is trained here."""

import pickle

import pytest
import torch
from oracles import random_network, random_pixels
from pipeline import folders, results, run

import train_mnist_pytorch
from ttfs import lenet
from ttfs.datasets import Split
from ttfs.hardware import Hardware
from ttfs.stages.time_options import chosen_pass
from ttfs.storage import load_network, save_network
from ttfs.time_domain import AsRelu, TimeDomain
from ttfs.training import Trained, initial_network

SCRIPT, SEED, THREADS = train_mnist_pytorch, 3, 3


@pytest.fixture
def splits(monkeypatch) -> tuple[Split, ...]:
    """Return 40 training, 25 validation and 60 test images, which the script then reads."""
    sizes = (40, 25, 60)
    made = [Split(random_pixels(n, 784, n).float(), torch.arange(n) * 7 % 10) for n in sizes]
    monkeypatch.setattr(SCRIPT, "load_dataset", lambda name, folder: made)
    return made


@pytest.fixture
def given(splits, monkeypatch) -> list[dict]:
    """Return a list of what is given to training, which returns the network that it was given."""
    seen = []

    def train(start, training, validation, **options):
        what = {"start": start, "training": training, "validation": validation, **options}
        seen.append(what | {"torch's seed": torch.initial_seed()})
        lengths = [2.0 + n for n in range(start.depth - 1)]
        options["after_epoch"](50.0)
        return Trained(start, lengths, [5, 9, 7], 9)

    monkeypatch.setattr(SCRIPT, "train", train)
    return seen


def asked(root, *options, network: str = "mlp") -> None:
    """Run the script in root, with a width of 20 unless networks are there already."""
    chosen = ["--dataset", "digits", "--network", network, "--seed", SEED, *options]
    if network == "mlp" and "--from" not in options:
        chosen += ["--width", 20]
    before = torch.get_num_threads()
    try:
        run(SCRIPT, *chosen, "--threads", THREADS, *folders(root, "models", "results"))
    finally:
        torch.set_num_threads(before)


def file(root, name: str) -> dict:
    return pickle.loads((root / "models" / f"digits_{name}.pkl").read_bytes())


def test_every_network_starts_from_the_seed_and_learns_training_images(splits, given, tmp_path):
    training, validation, _ = splits
    asked(tmp_path, "--depths", 2, 3)
    assert len(given) == 2
    for what, depth in zip(given, (2, 3), strict=True):
        assert what["training"] is training and what["validation"] is validation
        sizes = [784, *[20] * (depth - 1), 10]
        expected = initial_network(sizes, torch.Generator().manual_seed(SEED))
        assert what["start"].architecture == sizes
        assert all(map(torch.equal, what["start"].numbers, expected.numbers))
        assert what["generator"].initial_seed() == what["torch's seed"] == SEED
        assert isinstance(what["through"], AsRelu) and "augmented" not in what


USUAL = {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3, "target": 99.5}
IN_TIME = {"epochs": 8, "batch_size": 128, "learning_rate": 1e-3, "target": None}
OWN = {"epochs": 2, "batch_size": 11, "learning_rate": 0.5, "target": 77.0}
TOLD = ["--epochs", 2, "--batch-size", 11, "--learning-rate", 0.5]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ([], USUAL),
        ([*TOLD, "--target", 77], OWN),
        (["--jitter", 0.1], IN_TIME),
        ([*TOLD, "--jitter", 0.1], OWN | {"target": None}),
    ],
)
def test_settings_are_the_usual_ones_of_the_way_of_training_unless_told(
    given, tmp_path, options, settings
):
    asked(tmp_path, "--depths", 2, *options)
    (what,), kept = given, file(tmp_path, "2_layer")["settings"]
    for found in (what, kept):
        assert {key: found[key] for key in settings} == settings


def test_lenet_has_settings_of_its_own_and_starts_from_the_seed(given, tmp_path):
    asked(tmp_path, network="lenet")
    (what,) = given
    settings = {"epochs": 24, "batch_size": 128, "learning_rate": 2e-3, "target": None}
    assert {key: what[key] for key in settings} == settings
    torch.manual_seed(SEED)
    expected = lenet.AsModel(lenet.lenet()).delivered()
    assert all(map(torch.equal, what["start"].numbers, expected.numbers))
    assert file(tmp_path, "lenet")["architecture"] == [784, 25088, 12544, 256, 10]


def test_file_and_row_count_right_test_images_and_the_epochs_that_there_were(
    splits, given, tmp_path
):
    (_, validation, test), depth = splits, 3
    asked(tmp_path, "--depths", depth)
    logits = given[0]["start"].logits
    right = {
        len(split.labels): int((logits(split.images).argmax(1) == split.labels).sum())
        for split in (validation, test)
    }
    assert right[60] / 60 != right[25] / 25
    (row,), kept = results(tmp_path, "training")["rows"], file(tmp_path, "3_layer")
    assert (row["n_test"], row["test_correct"]) == (60, right[60])
    assert (row["n_validation"], row["validation_correct"], row["epochs"]) == (25, 9, 3)
    assert row["architecture"] == [784, 20, 20, 10] and 0 <= row["seconds"] < 60
    assert kept["accuracy"] == 100 * right[60] / 60 and kept["validation_correct"] == [5, 9, 7]
    assert (kept["seed"], kept["dataset"], kept["threads"]) == (SEED, "digits", THREADS)
    assert "windows" not in kept and "trained_for" not in kept


def test_training_runs_on_the_device_that_is_asked_for(given, tmp_path, monkeypatch):
    monkeypatch.setattr(SCRIPT, "device_of", lambda args: "a device")
    asked(tmp_path, "--depths", 2)
    assert given[0]["device"] == file(tmp_path, "2_layer")["device"] == "a device"


def test_images_are_distorted_as_the_data_set_allows_and_only_if_asked(
    given, tmp_path, monkeypatch
):
    monkeypatch.setattr(lenet, "augmented", "distorted as {}".format)
    for options in ([], ["--augment"]):
        asked(tmp_path, "--depths", 2, *options)
        assert file(tmp_path, "2_layer")["settings"]["augment"] == bool(options)
    assert [what.get("augmented") for what in given] == [None, "distorted as digits"]


def test_a_pass_in_time_sees_training_and_validation_images_and_its_windows_are_kept(
    splits, given, tmp_path, monkeypatch
):
    seen = []

    def choosing(args, start, *others):
        seen.append((start, *others))
        return chosen_pass(args, start, *others)

    monkeypatch.setattr(SCRIPT, "chosen_pass", choosing)
    asked(tmp_path, "--depths", 3, "--jitter", 0.25, "--loss", 0.125)
    (what,), kept = given, file(tmp_path, "3_layer")
    assert seen == [(what["start"], *splits[:2], what["generator"])]
    assert isinstance(what["through"], TimeDomain)
    assert kept["windows"] == [2.0, 3.0] and kept["settings"]["fine_tuned"] is False
    assert (kept["settings"]["jitter"], kept["settings"]["loss"]) == (0.25, 0.125)
    hardware = {"ticks": None, "weight_bits": None, "mismatch": 0.0}
    assert kept["trained_for"] == hardware | {"jitter": 0.25, "loss": 0.125}


def test_fine_tuning_starts_from_the_networks_of_the_folder(given, tmp_path):
    starts = {depth: random_network([784, *[9] * (depth - 1), 10], depth) for depth in (2, 3)}
    for depth, network in starts.items():
        save_network(tmp_path / "trained" / f"digits_{depth}_layer.pkl", network)
    asked(tmp_path, "--depths", 2, 3, "--from", tmp_path / "trained", "--mismatch", 0.25)
    for what, depth in zip(given, starts, strict=True):
        expected = load_network(tmp_path / "trained" / f"digits_{depth}_layer.pkl")
        assert all(map(torch.equal, what["start"].numbers, expected.numbers))
        assert what["epochs"] == 8
        assert file(tmp_path, f"{depth}_layer")["settings"]["fine_tuned"] is True


OPTIONS = {
    "--ticks 4": {"ticks": 4},
    "--weight-bits 3": {"weight_bits": 3.0},
    "--jitter 0.25": {"jitter": 0.25},
    "--loss 0.125": {"loss": 0.125},
    "--mismatch 0.5": {"mismatch": 0.5},
}


def pass_of(splits, *options: str) -> TimeDomain:
    """Return the pass that options ask for."""
    start = initial_network([784, 12, 9, 10], torch.Generator().manual_seed(0))
    args = SCRIPT.parse([*options])
    return chosen_pass(args, start, *splits[:2], torch.Generator().manual_seed(SEED))


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_of_the_hardware_reaches_it_and_asks_for_the_time_domain(splits, option):
    found = pass_of(splits, *option.split())
    assert found.hardware == Hardware(**OPTIONS[option])
    assert (found.sparsity, found.pixel_noise, found.q) == (0, 0, 1.0)
    assert not found.norms and found.generator.initial_seed() == SEED


def test_what_else_is_asked_of_a_pass_reaches_it(splits):
    found = pass_of(splits, "--sparsity", "0.25", "--pixel-noise", "0.5", "--quantile", "0.75")
    assert (found.sparsity, found.pixel_noise, found.q) == (0.25, 0.5, 0.75)
    assert found.hardware == Hardware() and not found.norms
    assert len(pass_of(splits, "--normalise").norms) == 2
    for alone in ("--sparsity", "--pixel-noise", "--quantile"):
        assert isinstance(pass_of(splits, alone, "0.5"), TimeDomain)


def test_windows_that_follow_begin_with_those_of_the_training_images(splits):
    found = pass_of(splits, "--jitter", "0.1")
    start = initial_network([784, 12, 9, 10], torch.Generator().manual_seed(0))
    largest = [layer.max().item() for layer in start.activations(splits[0].images)]
    assert found.lengths == pytest.approx(largest)
