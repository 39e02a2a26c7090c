import pytest
import torch
from oracles import random_network, random_pixels

from ttfs.conversion import convert
from ttfs.metrics import (
    batches,
    compare,
    judged,
    mcnemar_p,
    percent,
    percent_interval,
    points_lost,
    simulated,
)
from ttfs.simulation import closed_form
from ttfs.windows import calibrated


def compared(network, snn, test_batches):
    return compare(network, snn, test_batches, lambda x: closed_form(snn, x))


@pytest.fixture
def case():
    network, images = random_network([12, 20, 15, 4]), random_pixels(2300, 12)
    labels = network.logits(images).argmax(1)
    labels[::10] = (labels[::10] + 1) % 4  # 230 of 2,300 wrong, 100 of the first 1,000
    return network, convert(network, calibrated(network, images)), images, labels


def test_counts_are_integers_and_those_of_a_count_by_hand(case):
    network, snn, images, labels = case
    row = compared(network, snn, batches(images, labels, torch.arange(2300), size=600))
    assert (row["n_test"], row["relu_correct"], row["snn_correct"]) == (2300, 2070, 2070)
    assert row["agreements"] == 2300
    assert (row["n_first_1000"], row["relu_correct_first_1000"]) == (1000, 900)
    assert row["snn_correct_first_1000"] == 900
    spikes = sum(int((a > 0).sum()) for a in network.activations(images))
    assert row["hidden_spikes"] == spikes
    assert row["spikes_per_hidden_neuron"] == spikes / (35 * 2300)
    assert row["input_spikes"] == int((images > 0).sum())
    assert row["t_max"] == snn.t_max and row["latency"] == snn.t_max[-1]
    assert row["max_abs_logit_error"] < 1e-12
    assert all(isinstance(row[k], int) for k in row if "correct" in k or k == "agreements")


def test_only_the_chosen_images_are_tested(case):
    network, snn, images, labels = case
    row = compared(network, snn, batches(images, labels, torch.tensor([5, 10, 999, 1000, 2299])))
    assert (row["n_test"], row["n_first_1000"], row["snn_correct"]) == (5, 3, 3)


def test_the_alpha_neuron_spends_a_spike_on_every_neuron_and_pixel(case):
    network, snn, images, labels = case
    windows = [layer.window_length for layer in snn.hidden]
    alpha = convert(network, windows, "alpha")
    row = compared(network, alpha, batches(images, labels, torch.arange(2300)))
    assert row["spikes_per_hidden_neuron"] == 1.0
    assert row["input_spikes_per_image"] == 12


def test_windows_too_short_show_in_the_audit_and_the_counts(case):
    network, _, images, labels = case
    snn = convert(network, [0.05, 0.05])
    row = compared(network, snn, batches(images, labels, torch.arange(2300)))
    assert row["agreements"] < 2300
    assert all(layer["saturations"] > 0 for layer in row["audit"])
    assert all(layer["used_fraction"] == 1.0 for layer in row["audit"])


def test_a_network_without_hidden_layers_has_no_spikes(case):
    _, _, images, labels = case
    network = random_network([12, 4])
    row = compared(network, convert(network, []), batches(images, labels, torch.arange(2300)))
    assert row["agreements"] == 2300 and row["spikes_per_hidden_neuron"] == 0


def test_wilson_interval_is_the_textbooks():
    # p = 0.9, n = 100, z = 1.95996: (0.8256, 0.9448)
    assert percent_interval(90, 100) == pytest.approx((82.56, 94.48), abs=0.01)
    assert percent(9801, 10000) == 98.01


def test_paired_counts_by_hand():
    labels = torch.tensor([0, 0, 1, 1, 2])
    relu, other = torch.tensor([0, 1, 1, 1, 0]), torch.tensor([0, 0, 0, 1, 1])
    row = judged(relu, other, labels)
    assert row == {
        "n_test": 5, "relu_correct": 3, "snn_correct": 3, "agreements": 2,
        "relu_alone_correct": 1, "snn_alone_correct": 1, "mcnemar_p": 1.0,
    }  # fmt: skip
    assert points_lost(row | {"snn_correct": 1}) == 40.0


@pytest.mark.parametrize(
    ("counts", "p"), [((0, 0), 1.0), ((3, 0), 0.25), ((0, 6), 1 / 32), ((9, 1), 22 / 1024)]
)
def test_mcnemars_exact_p_is_twice_the_binomial_tail(counts, p):
    assert mcnemar_p(*counts) == pytest.approx(p)


def test_a_simulator_run_in_parts_gives_what_it_gives_at_once(case):
    _, snn, images, _ = case
    logits, audit = simulated(lambda x: closed_form(snn, x), images, size=700)
    whole = closed_form(snn, images)
    torch.testing.assert_close(logits, whole.logits, rtol=0, atol=1e-13)
    assert [layer.row() for layer in audit] == [layer.row() for layer in whole.audit]
