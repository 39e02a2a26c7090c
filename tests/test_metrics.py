import pytest
import torch
from oracles import random_network, random_pixels

from ttfs.conversion import convert
from ttfs.metrics import (
    comparison,
    mcnemar_p,
    paired_counts,
    percent,
    percent_interval,
    points_lost,
)
from ttfs.simulation import closed_form
from ttfs.windows import calibrated


def compared(network, snn, images, labels):
    return comparison(network.logits(images), labels, images, lambda part: closed_form(snn, part))


@pytest.fixture
def case():
    network, images = random_network([12, 20, 15, 4]), random_pixels(2300, 12)
    labels = network.logits(images).argmax(1)
    labels[::10] = (labels[::10] + 1) % 4  # 230 of 2,300 wrong
    return network, convert(network, calibrated(network, images)), images, labels


def test_counts_are_integers_and_those_of_a_count_by_hand(case):
    network, snn, images, labels = case
    found = compared(network, snn, images, labels)
    counts = found.counts
    assert (counts["n_test"], counts["relu_correct"], counts["snn_correct"]) == (2300, 2070, 2070)
    assert counts["agreements"] == 2300
    assert all(isinstance(counts[key], int) for key in counts if key != "mcnemar_p")
    spikes = [int((a > 0).sum()) for a in network.activations(images)]
    assert [layer.spikes for layer in found.audit] == spikes


def test_a_simulator_run_in_batches_gives_what_it_gives_at_once(case, monkeypatch):
    network, snn, images, labels = case
    monkeypatch.setattr("ttfs.metrics.BATCH", 700)
    found, whole = compared(network, snn, images, labels), closed_form(snn, images)
    torch.testing.assert_close(found.logits, whole.logits, rtol=0, atol=1e-13)
    assert [layer.row() for layer in found.audit] == [layer.row() for layer in whole.audit]
    assert found.counts["agreements"] == 2300
    assert found.input_spikes == int((images > 0).sum())


def test_logit_error_is_the_largest_of_all_and_so_is_the_largest_logit(case):
    network, snn, images, labels = case
    logits = network.logits(images)
    logits[1700, 2] += 5.0
    found = comparison(logits, labels, images, lambda part: closed_form(snn, part))
    assert found.logit_error == pytest.approx(5.0)
    assert found.largest_logit == logits.abs().max().item()


def test_windows_too_short_show_in_the_audit_and_the_counts(case):
    network, _, images, labels = case
    found = compared(network, convert(network, [0.05, 0.05]), images, labels)
    assert found.counts["agreements"] < 2300
    assert all(layer.saturations > 0 and layer.used_fraction == 1.0 for layer in found.audit)


def test_a_network_without_hidden_layers_has_no_audit(case):
    _, _, images, labels = case
    network = random_network([12, 4])
    found = compared(network, convert(network, []), images, labels)
    assert found.counts["agreements"] == 2300 and found.audit == []


def test_wilson_interval_is_the_textbooks():
    # p = 0.9, n = 100, z = 1.95996: (0.8256, 0.9448)
    assert percent_interval(90, 100) == pytest.approx((82.56, 94.48), abs=0.01)
    assert percent(9801, 10000) == 98.01


def test_paired_counts_by_hand():
    labels = torch.tensor([0, 0, 1, 1, 2])
    relu, other = torch.tensor([0, 1, 1, 1, 0]), torch.tensor([0, 0, 0, 1, 1])
    row = paired_counts(relu, other, labels)
    assert row == {
        "n_test": 5,
        "relu_correct": 3,
        "snn_correct": 3,
        "agreements": 2,
        "relu_alone_correct": 1,
        "snn_alone_correct": 1,
        "mcnemar_p": 1.0,
    }
    assert points_lost(row | {"snn_correct": 1}) == 40.0


@pytest.mark.parametrize(
    ("counts", "p"), [((0, 0), 1.0), ((3, 0), 0.25), ((0, 6), 1 / 32), ((9, 1), 22 / 1024)]
)
def test_mcnemars_exact_p_is_twice_the_binomial_tail(counts, p):
    assert mcnemar_p(*counts) == pytest.approx(p)
