from itertools import chain, repeat

import pytest
import torch
from pipeline import learning_rates
from pipeline import trained_as_relu as train

from ttfs import InputError
from ttfs.datasets import Split, load_dataset
from ttfs.training import architecture, without_subnormals

SETTINGS = {"epochs": 3, "batch_size": 64, "learning_rate": 1e-3, "target": 101.0, "seed": 0}


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def weights(network):
    return torch.cat([w.flatten() for w in network.weights + network.biases])


def test_architecture_counts_weight_layers():
    assert architecture(2, 400) == [784, 400, 10]
    assert architecture(4, 5) == [784, 5, 5, 5, 10]


def test_one_seed_gives_one_network_and_another_seed_another(digits):
    sizes = architecture(3, 20)
    first, history = train(*digits[:2], sizes, **SETTINGS)
    again, same_history = train(*digits[:2], sizes, **SETTINGS)
    other, _ = train(*digits[:2], sizes, **{**SETTINGS, "seed": 1})
    assert torch.equal(weights(first), weights(again)) and history == same_history
    assert not torch.equal(weights(first), weights(other))


def test_training_stops_when_validation_reaches_the_target(digits):
    seen = []
    _, history = train(
        *digits[:2],
        architecture(2, 50),
        **{**SETTINGS, "epochs": 30, "target": 90.0},
        after_epoch=seen.append,
    )
    assert len(history) == len(seen) < 30
    assert history[-1] >= 180 and all(correct < 180 for correct in history[:-1])
    assert seen[-1] == 100 * history[-1] / 200


def test_the_best_epoch_is_kept_when_the_target_is_never_reached(digits):
    network, history = train(*digits[:2], architecture(2, 30), **{**SETTINGS, "epochs": 8})
    images, labels = digits[1]
    assert int((network.logits(images).argmax(1) == labels).sum()) == max(history)


def test_weights_start_xavier_uniform_and_biases_zero(digits):
    tiny = Split(digits[0].images[:1], digits[0].labels[:1])
    settings = {**SETTINGS, "epochs": 1, "learning_rate": 1e-12}
    network, _ = train(tiny, digits[1], architecture(2, 400), **settings)
    limit = (6 / (784 + 400)) ** 0.5
    weight = network.weights[0]
    assert weight.abs().max() <= limit + 1e-6
    assert weight.std() == pytest.approx(limit / 3**0.5, rel=0.01)
    assert network.biases[0].abs().max() < 1e-9


def test_the_learning_rate_halves_after_ten_epochs(digits, monkeypatch):
    rates = learning_rates(monkeypatch)
    tiny = Split(digits[0].images[:64], digits[0].labels[:64])
    train(tiny, digits[1], architecture(2, 5), **{**SETTINGS, "epochs": 21})
    assert rates == 10 * [1e-3] + 10 * [5e-4] + [2.5e-4]


def scripted(monkeypatch, *correct):
    """Let the validation images come out as scripted, epoch after epoch, and as last at the end."""
    counts = chain(correct, repeat(correct[-1]))
    monkeypatch.setattr("ttfs.training.n_correct", lambda *args: next(counts))


def test_an_epoch_that_is_worse_than_the_best_is_not_returned(digits, monkeypatch):
    sizes = architecture(2, 5)
    scripted(monkeypatch, 5, 9, 7)
    found, history = train(*digits[:2], sizes, **SETTINGS)
    scripted(monkeypatch, 5, 9)
    best, _ = train(*digits[:2], sizes, **{**SETTINGS, "epochs": 2})
    assert history == [5, 9, 7] and torch.equal(weights(found), weights(best))


def test_training_stops_at_exactly_the_target(digits, monkeypatch):
    scripted(monkeypatch, 179, 180, 181)
    _, history = train(*digits[:2], architecture(2, 5), **{**SETTINGS, "target": 90.0})
    assert history == [179, 180]


def test_training_that_diverges_is_refused(digits):
    with pytest.raises(InputError, match="diverged"):
        train(*digits[:2], architecture(2, 5), **{**SETTINGS, "learning_rate": 1e30})


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor has no such mode")
def test_numbers_that_make_processors_slow_are_zero_while_training_and_not_after(digits):
    tiny, seen = torch.tensor(1e-40), []
    options = {**SETTINGS, "after_epoch": lambda accuracy: seen.append(tiny.mul(1).item())}
    train(*digits[:2], architecture(2, 5), **options)
    assert seen == [0, 0, 0] and tiny.mul(1) > 0
    with without_subnormals():
        with without_subnormals():
            assert tiny.mul(1) == 0
        assert tiny.mul(1) == 0
    assert tiny.mul(1) > 0
