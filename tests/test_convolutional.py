"""The study of the convolutional network, against torch's own modules on a small one."""

import pytest
from pipeline import save_small_lenet
from studied import rows
from torch import nn

from ttfs.datasets import load_dataset
from ttfs.lenet import SHAPE


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_lenet(tmp_path_factory.mktemp("small")).double()


def activations(model, images, spike=lambda u, n: u):
    """Return the outputs of every ReLU and of the model, and what ``spike`` makes of them."""
    x, found = spike(images.double().unflatten(1, SHAPE), 0), []
    for module in model:
        x = module(x)
        if isinstance(module, nn.ReLU):
            found.append(x)
            x = spike(x, len(found))
    return found, x


def correct(logits) -> int:
    return int((logits.argmax(1) == load_dataset("digits")[2].labels).sum())


def test_rows_are_of_every_question_and_exact_where_they_should_be(studied, model):
    found = rows(studied, "convolutional")
    assert {row["question"] for row in found} == {"exact", "windows", "clock", "jitter"}
    logits = activations(model, load_dataset("digits")[2].images)[1]
    assert all(row["relu_correct"] == correct(logits) for row in found)
    for row in found:
        if row["policy"] == "calibrated":
            assert row["agreements"] == row["n_test"] == 300
        assert row["neurons"] == 4 * 64 + 6 * 16 + 60
        assert row["latency"] == pytest.approx(1 + sum(row["windows"]))


def test_calibrated_windows_are_half_longer_than_the_largest_training_activation(studied, model):
    largest = [a.max().item() for a in activations(model, load_dataset("digits")[0].images)[0]]
    (row,) = rows(studied, "convolutional", question="windows", policy="calibrated")
    assert row["windows"] == pytest.approx([1.5 * value for value in largest], rel=1e-5)


def test_spikes_are_the_activations_above_zero(studied, model):
    found = activations(model, load_dataset("digits")[2].images)[0]
    (row,) = rows(studied, "convolutional", question="windows", policy="calibrated")
    assert row["spikes"] == pytest.approx(sum(int((a > 0).sum()) for a in found), abs=5)


def test_the_clock_is_the_networks_with_its_activations_rounded(studied, model):
    (row,) = rows(studied, "convolutional", question="clock")
    _, bits, _ = row["engine"].split(":")
    ends = [1.0, *row["windows"]]

    def rounded(u, n):
        tick = ends[n] / 2 ** int(bits)
        return ((u / tick + 0.5).floor() * tick).clamp(max=ends[n])

    logits = activations(model, load_dataset("digits")[2].images, rounded)[1]
    assert row["snn_correct"] == pytest.approx(correct(logits), abs=1)
