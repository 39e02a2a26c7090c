"""Which epoch's network training returns, and in which of the windows that it may choose from."""

from itertools import chain, repeat

import pytest
import torch
from test_training import scripted, weights

from ttfs.datasets import Split
from ttfs.time_domain import AsRelu
from ttfs.training import architecture, initial_network, train


def images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 784, generator=generator)
    return Split(pixels, torch.arange(count) % 10)


def trained(epochs, **options):
    generator = torch.Generator().manual_seed(0)
    network = initial_network(architecture(2, 5), generator)
    settings = {"epochs": epochs, "batch_size": 20, "learning_rate": 1e-2, "generator": generator}
    return train(network, images(40, 1), images(20, 2), **(settings | options))


@pytest.mark.parametrize(
    ("correct", "kept"), [((9, 5, 7), 1), ((5, 9, 7), 2), ((5, 9, 9, 7), 3), ((5, 7, 9), 3)]
)
def test_with_a_target_it_is_the_best_and_of_equals_the_last(monkeypatch, correct, kept):
    scripted(monkeypatch, *correct)
    found = trained(len(correct), target=101.0)
    scripted(monkeypatch, *range(1, 9))
    expected = trained(kept, target=101.0)
    assert found.history == list(correct)
    assert torch.equal(weights(found.network), weights(expected.network))


def test_without_a_target_it_is_the_last_however_bad(monkeypatch):
    scripted(monkeypatch, 9, 5, 7)
    found = trained(3)
    scripted(monkeypatch, 1, 2, 3)
    assert torch.equal(weights(found.network), weights(trained(3).network))


def test_the_windows_are_those_with_most_correct_and_of_equals_the_first(monkeypatch):
    options = [[1.0], [2.0], [3.0], [4.0]]
    monkeypatch.setattr(AsRelu, "windows", lambda *arguments: options, raising=False)
    counts = chain([10], [6, 8, 8, 7], repeat(0))
    monkeypatch.setattr("ttfs.training.n_correct", lambda *arguments: next(counts))
    found = trained(1)
    assert (found.windows, found.correct, found.history) == ([2.0], 8, [10])
