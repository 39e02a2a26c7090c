"""Spikes written for other programs."""

import csv

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels
from pipeline import DIGITS, folders, layers, results, run, train

import convert_all_models
from ttfs.coding import encode
from ttfs.conversion import convert
from ttfs.export import EVENT, save_spikes
from ttfs.simulation import clock_driven, event_driven
from ttfs.windows import calibrated


@pytest.fixture
def simulation():
    network, pixels = random_network([5, 8, 6, 3], seed=2), random_pixels(7, 5, seed=2)
    return event_driven(convert(network, calibrated(network, pixels)), pixels)


def events_of(path):
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == EVENT == ("time", "layer", "neuron", "image")
    return [(float(t), int(n), int(i), int(k)) for t, n, i, k in lines]


def test_the_arrays_are_the_simulations_spike_times(simulation, tmp_path):
    images = torch.arange(10, 17)
    path, _ = save_spikes(tmp_path / "some.name", simulation, images)
    assert path == tmp_path / "some.name.npz"
    with np.load(path, allow_pickle=False) as file:
        times = [file[f"spike_times_{n}"] for n in range(3)]
        assert f"spike_times_{3}" not in file
        assert file["image"].tolist() == list(range(10, 17))
        assert file["prediction"].tolist() == simulation.predictions.tolist()
        ends = [window.t_max for window in simulation.windows]
        assert file["t_max"].tolist() == [1.0, *ends]
        assert file["t_min"].tolist() == [0.0, 1.0, *ends[:-1]]
    np.testing.assert_array_equal(times[0], encode(simulation.inputs).numpy())
    for ours, layer in zip(times[1:], simulation.spike_times, strict=True):
        np.testing.assert_array_equal(ours, layer.numpy())
    assert np.isinf(times[0]).any() and np.isfinite(times[2]).any()


def test_the_table_has_every_spike_once_to_the_last_bit(simulation, tmp_path):
    images = torch.arange(10, 17)
    paths = save_spikes(tmp_path / "spikes", simulation, images)
    found, expected = events_of(paths[1]), set()
    with np.load(paths[0]) as file:
        for n in range(3):
            times = file[f"spike_times_{n}"]
            for k, i in zip(*np.isfinite(times).nonzero(), strict=True):
                expected.add((float(times[k, i]), n, int(i), int(images[k])))
    assert len(found) == len(expected) and set(found) == expected
    assert [(k, t) for t, _, _, k in found] == sorted((k, t) for t, _, _, k in found)


def test_nothing_but_the_two_files_is_left(simulation, tmp_path):
    paths = save_spikes(tmp_path / "spikes", simulation, torch.arange(7))
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_input_spikes_on_a_clock_are_on_its_ticks(tmp_path):
    network, pixels = random_network([5, 8, 3], seed=2), random_pixels(7, 5, seed=2)
    found = clock_driven(convert(network, [2.0]), pixels, 2, half_tick=True)
    path, _ = save_spikes(tmp_path / "spikes", found, torch.arange(7))
    with np.load(path) as file:
        times = file["spike_times_0"]
    assert set(times[np.isfinite(times)]) <= {0.0, 0.25, 0.5, 0.75}


@pytest.mark.parametrize("forced", [False, True])
def test_neurons_that_are_made_to_fire_do_so_at_t_max(tmp_path, forced):
    network, pixels = random_network([5, 8, 6, 3], seed=2), random_pixels(7, 5, seed=2)
    snn = convert(network, calibrated(network, pixels), "alpha")
    found = event_driven(snn, pixels)
    path, table = save_spikes(tmp_path / "spikes", found, torch.arange(7), forced)
    with np.load(path) as file:
        for n, times in enumerate((encode(pixels), *found.spike_times)):
            silent = times.isinf().numpy()
            assert silent.any()
            assert (
                file[f"spike_times_{n}"][silent] == (file["t_max"][n] if forced else np.inf)
            ).all()
            assert (file[f"spike_times_{n}"][~silent] == times.numpy()[~silent]).all()
    assert snn.neuron.forced
    assert len(events_of(table)) == (7 * (5 + 8 + 6) if forced else 7 * 19 - _silent(found, pixels))


def _silent(found, pixels):
    return sum(int(times.isinf().sum()) for times in (encode(pixels), *found.spike_times))


def test_spikes_of_coarse_numbers_are_exported(tmp_path):
    network, pixels = random_network([5, 8, 3], seed=2), random_pixels(7, 5, seed=2)
    found = event_driven(convert(network, [2.0]), pixels.bfloat16())
    path, _ = save_spikes(tmp_path / "spikes", found, torch.arange(7))
    with np.load(path) as file:
        expected = found.spike_times[0].double().numpy()
        np.testing.assert_array_equal(file["spike_times_1"], expected)


def test_the_script_exports_the_first_images_of_every_depth_and_engine(tmp_path):
    train(tmp_path)
    places = folders(tmp_path, "models", "results")
    engines = ["--engine", "closed-form", "clock:3:half-tick"]
    printed = run(convert_all_models, *DIGITS, "--spikes", 4, *engines, *places)
    folder = tmp_path / "results" / "digits"
    for depth in (2, 3):
        for engine in ("closed-form", "clock_3_half-tick"):
            path = folder / f"spikes_{depth}_layer_{engine}.npz"
            assert str(path) in printed and str(path.with_suffix(".csv")) in printed
            with np.load(path) as file:
                assert file["image"].tolist() == [0, 1, 2, 3]
                assert len(file["t_max"]) == depth
    with np.load(folder / "spikes_2_layer_closed-form.npz") as file:
        hidden, t_max = file["spike_times_1"], file["t_max"][1]
    activations = layers(tmp_path, 2, "test")[1][:4]
    np.testing.assert_allclose(np.where(np.isinf(hidden), 0, t_max - hidden), activations)
    assert results(tmp_path, "conversion")["arguments"]["spikes"] == 4
    with pytest.raises(SystemExit) as stop:
        run(convert_all_models, *DIGITS, "--spikes", 0, *places)
    assert stop.value.code == 2
