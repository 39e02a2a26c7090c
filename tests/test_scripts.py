import os
import pickle
import re
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels
from pipeline import DIGITS, files_below, folders, labels, layers, results, run, train

import convert_all_models
import numerical_exactness_test
from ttfs import certificate, datasets
from ttfs.conversion import convert
from ttfs.datasets import Split, load_dataset
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form
from ttfs.stages.inputs import image_places
from ttfs.storage import load_model, load_network, save_network
from ttfs.tuning import QUANTILES
from ttfs.windows import calibrated

ROOT = Path(__file__).resolve().parent.parent
HELP = {  # words that each script's help must have: its files and the units of its numbers
    "train_mnist_pytorch.py": ["models/mnist_", "per cent", "0.001 in the time domain"],
    "convert_all_models.py": ["results/conversion.json", "fixed:T_MAX", "clock:BITS"],
    "create_plot.py": ["figures/depth_comparison.png", "results/conversion.json"],
    "spike_distribution_plot.py": ["results/spike_time_distributions.json", "--redraw"],
    "time_axis_schematic.py": ["figures/time_axis_schematic.png", "--image I"],
    "numerical_exactness_test.py": ["results/exactness.json", "default: [2, 4, 6, 8]"],
}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def helps(tmp_path_factory) -> dict:
    """Run every script's --help at once, from a folder that is not the project's."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    running = {
        script: subprocess.Popen(
            [sys.executable, "-B", ROOT / script, "--help"],
            cwd=elsewhere,
            text=True,
            env=os.environ | {"COLUMNS": "300"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for script in HELP
    }
    ended = {script: (*process.communicate(), process) for script, process in running.items()}
    assert list(elsewhere.iterdir()) == []
    return ended


@pytest.mark.parametrize("script", HELP)
def test_help_says_what_is_read_and_written_with_units_and_defaults(helps, script):
    printed, complaints, process = helps[script]
    assert (process.returncode, complaints) == (0, "")
    for words in ["Reads", "Writes", f"python {script}", "(default: auto)", *HELP[script]]:
        assert words in printed
    options = re.findall(r"^  (--\S+)(.*)", printed, re.MULTILINE)
    assert [name for name, rest in options if not rest.strip()] == []  # each has its help


def test_training_writes_networks_with_the_accuracy_that_they_have(out):
    rows = results(out, "training")["rows"]
    assert [row["depth"] for row in rows] == [2, 3]
    for row in rows:
        path = out / "models" / f"digits_{row['depth']}_layer.pkl"
        file = pickle.loads(path.read_bytes())
        correct = int((layers(out, row["depth"], "test")[-1].argmax(1) == labels()).sum())
        assert file["architecture"] == row["architecture"] == [784, *[20] * (row["depth"] - 1), 10]
        assert {w.dtype for w in file["weights"] + file["biases"]} == {np.dtype("float32")}
        assert (row["n_test"], row["test_correct"], row["epochs"]) == (300, correct, 2)
        assert file["accuracy"] == pytest.approx(100 * correct / 300)
        assert correct > 100  # it has learnt: chance is 30
        assert file["seed"] == 0 and file["settings"]["epochs"] == 2
        assert max(file["validation_correct"]) == row["validation_correct"] <= 200


def test_same_seed_gives_the_same_bytes_and_another_seed_other_weights(out, tmp_path):
    first = files_below(out / "models")
    same = files_below(train(tmp_path / "same") / "models")
    other = files_below(train(tmp_path / "other", "--seed", 1) / "models")
    assert sorted(first) == ["digits_2_layer.pkl", "digits_3_layer.pkl"]
    assert first == same
    for name in first:
        ours, theirs = pickle.loads(first[name]), pickle.loads(other[name])
        assert ours["architecture"] == theirs["architecture"]
        assert not np.allclose(ours["weights"][0], theirs["weights"][0])


def test_conversion_counts_equal_those_of_the_relu_network(out):
    printed = run(convert_all_models, *DIGITS, *folders(out, "models", "results"))
    record = results(out, "conversion")
    assert record["made_by"] == "convert_all_models.py"
    assert (record["seed"], record["dataset"]) == (0, "digits")
    assert [(row["depth"], row["engine"]) for row in record["rows"]] == [
        (depth, engine) for depth in (2, 3) for engine in ("event-driven", "closed-form")
    ]
    for row in record["rows"]:
        pixels, *activations, logits = layers(out, row["depth"], "test")
        correct = int((logits.argmax(1) == labels()).sum())
        spikes = [int((activation > 0).sum()) for activation in activations]
        for key in ("relu_correct", "snn_correct"):
            assert row[key] == row[f"{key}_first_1000"] == correct and type(row[key]) is int
        assert row["n_test"] == row["agreements"] == row["n_first_1000"] == 300
        assert row["spikes_per_hidden_neuron"] == sum(spikes) / (300 * 20 * len(spikes))
        assert row["input_spikes_per_image"] == (pixels > 0).sum() / 300
        assert row["max_abs_logit_error"] < 1e-12
        largest = [activation.max() for activation in layers(out, row["depth"], "training")[1:-1]]
        assert row["t_max"] == pytest.approx(1 + np.cumsum(1.5 * np.array(largest)), rel=1e-6)
        assert row["windows"] == pytest.approx(1.5 * np.array(largest), rel=1e-6)
        assert [layer["spikes"] for layer in row["audit"]] == spikes
        assert [layer["saturations"] for layer in row["audit"]] == [0] * len(spikes)
        assert f"{100 * correct / 300:.2f}" in printed
    written = out / "results" / "digits" / "conversion"
    assert printed.endswith(f"wrote {written}.json\n      {written}.md\n")
    assert (
        written.with_suffix(".md").read_text()
        == convert_all_models.table(record["rows"]).markdown()
    )


def test_npz_takes_the_place_of_a_pickle_for_every_script(out, tmp_path):
    for path in (out / "models").iterdir():
        contents = load_model(path)
        record = {key: contents[key] for key in ("accuracy", "dataset")}
        save_network(tmp_path / "models" / f"{path.stem}.npz", load_network(path), **record)
    for root in (out, tmp_path):
        run(convert_all_models, *DIGITS, *folders(root, "models", "results"))
    assert results(out, "conversion")["rows"] == results(tmp_path, "conversion")["rows"]
    archives = files_below(tmp_path / "models")
    train(tmp_path, "--seed", 1)
    trained_again = files_below(tmp_path / "models")
    assert sorted(trained_again) == sorted(archives) == ["digits_2_layer.npz", "digits_3_layer.npz"]
    assert trained_again != archives


@pytest.mark.parametrize("neuron", ["B1", "alpha"])
def test_spikes_and_first_images_are_counted_by_their_places(neuron):
    """Alpha makes every neuron and pixel fire once; images from 1,000 on are not of the first."""
    network, pixels = random_network([12, 8, 6, 4]), random_pixels(1010, 12)
    snn, places = convert(network, calibrated(network, pixels), neuron), torch.arange(990, 1010)
    test = Split(pixels, torch.arange(1010) % 4)
    logits = network.logits(pixels[places])
    row = convert_all_models.row_of(snn, partial(closed_form, snn), logits, test, places, "float64")
    right = logits.argmax(1) == test.labels[places]
    assert (row["n_test"], row["n_first_1000"]) == (20, 10)
    assert row["relu_correct_first_1000"] == row["snn_correct_first_1000"] == int(right[:10].sum())
    assert row["relu_correct"] == int(right.sum()) != int(right[:10].sum())
    hidden, inputs = network.activations(pixels[places]), pixels[places]
    spikes = [int((x > 0).sum()) if neuron == "B1" else x.numel() for x in (inputs, *hidden)]
    assert (row["input_spikes"], row["hidden_spikes"]) == (spikes[0], sum(spikes[1:]))


def test_a_network_without_hidden_layers_has_no_hidden_spikes():
    network, pixels = random_network([12, 4]), random_pixels(9, 12)
    snn, test = convert(network, []), Split(pixels, torch.arange(9) % 4)
    logits = network.logits(pixels)
    row = convert_all_models.row_of(
        snn, partial(closed_form, snn), logits, test, torch.arange(9), "float64"
    )
    assert (row["spikes_per_hidden_neuron"], row["hidden_spikes"], row["audit"]) == (0, 0, [])
    assert row["agreements"] == 9 and row["latency"] == 1


def test_conversion_with_short_windows_counts_what_was_cut_off_and_fails_if_strict(out, tmp_path):
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    short = ["--windows", "fixed:0.75"]
    printed = run(convert_all_models, *DIGITS, *places, *short, "--strict", status=1)
    for row in results(tmp_path, "conversion")["rows"]:
        cut = int((layers(out, row["depth"], "test")[1] > 0.75).sum())
        assert row["audit"][0]["saturations"] == cut > 0
        assert f"{cut:,}" in printed
        assert row["t_max"] == [1 + 0.75 * n for n in range(1, row["depth"])]
        assert row["max_abs_logit_error"] > 0.01
        assert f"depth {row['depth']}, layer 1, {row['engine']}" in printed
    run(convert_all_models, *DIGITS, *places, *short)  # without --strict it is a measurement


WAYS = (
    "--neuron alpha",
    "--dtype float32",
    "--windows safe --neuron alpha --engine event-driven:unguarded",
    "--engine closed-form:absolute",
    "--engine clock:20:half-tick",
)


@pytest.mark.parametrize("options", WAYS)
def test_every_engine_neuron_and_precision_finds_the_same_labels(out, tmp_path, options):
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    run(convert_all_models, *DIGITS, *places, *options.split())
    assert {row["agreements"] for row in results(tmp_path, "conversion")["rows"]} == {300}


def test_alpha_without_its_guard_fires_early_and_the_audit_names_the_layer(out, tmp_path):
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    options = [
        "--engine",
        "event-driven:unguarded",
        "--neuron",
        "alpha",
        "--windows",
        "calibrated:0",
    ]
    printed = run(convert_all_models, *DIGITS, *places, *options, "--strict", status=1)
    premature = [
        (row["depth"], layer["layer"])
        for row in results(tmp_path, "conversion")["rows"]
        for layer in row["audit"]
        if layer["premature"]
    ]
    assert premature and all(f"depth {d}, layer {n}" in printed for d, n in premature)


def test_coarse_clock_loses_spikes_and_says_so(out, tmp_path):
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    printed = run(convert_all_models, *DIGITS, *places, "--engine", "clock:2", "clock:2:half-tick")
    rows = results(tmp_path, "conversion")["rows"]
    for row in rows:
        ticks, shift = 4, 0.5 if row["engine"].endswith("half-tick") else 0.0
        x = (
            np.clip(np.floor(layers(out, row["depth"], "test")[0] * ticks + shift), 0, ticks)
            / ticks
        )
        file = pickle.loads((out / "models" / f"digits_{row['depth']}_layer.pkl").read_bytes())
        for n, (weight, bias) in enumerate(zip(file["weights"], file["biases"], strict=True)):
            x = x @ weight.astype(float) + bias
            if n < row["depth"] - 1:
                tick = row["windows"][n] / ticks
                x = np.clip(np.floor(x / tick + shift), 0, ticks) * tick
        assert abs(int((x.argmax(1) == labels()).sum()) - row["snn_correct"]) <= 1
        assert sum(layer["missing"] for layer in row["audit"]) > 0
    assert {row["snn_correct"] for row in rows if "half" in row["engine"]}.isdisjoint(
        row["snn_correct"] for row in rows if "half" not in row["engine"]
    )
    assert "violations in: depth 2, layer 1" in printed


def relu_and_windows(out, depth: int, lengths, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of ReLU, and of ReLU clipped at the windows, in NumPy."""
    file = pickle.loads((out / "models" / f"digits_{depth}_layer.pkl").read_bytes())
    images = load_dataset("digits")[1 if split == "validation" else 2].images
    x = clipped = images.numpy().astype(float)
    for n, (weight, bias) in enumerate(zip(file["weights"], file["biases"], strict=True)):
        x, clipped = (v @ weight.astype(float) + bias for v in (x, clipped))
        if n < depth - 1:
            x, clipped = np.maximum(x, 0), np.clip(clipped, 0, lengths[n])
    return x.argmax(1), clipped.argmax(1)


def test_automatic_windows_are_the_shortest_that_change_few_labels_of_validation_images(
    out, tmp_path
):
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    run(convert_all_models, *DIGITS, *places, "--windows", "automatic")
    for row in results(tmp_path, "conversion")["rows"]:
        depth, changed = row["depth"], {}
        positive = [a[a > 0] for a in layers(out, depth, "training")[1:-1]]
        for q in QUANTILES:
            lengths = [np.quantile(values, q) for values in positive]
            relu, found = relu_and_windows(out, depth, lengths, "validation")
            changed[q] = int((relu != found).sum())
            if changed[q] <= 5:  # six would be significant
                break
        assert row["windows"] == pytest.approx(lengths, rel=1e-5)
        relu, found = relu_and_windows(out, depth, lengths, "test")
        assert abs(int((relu == found).sum()) - row["agreements"]) <= 1


def test_conversion_of_sampled_images_depends_on_the_seed_alone(out, tmp_path):
    rows = []
    for seed in (0, 0, 1):
        places = [*folders(out, "models"), *folders(tmp_path, "results")]
        run(convert_all_models, *DIGITS, *places, "--samples", 40, "--seed", seed)
        rows.append(results(tmp_path, "conversion")["rows"])
    assert rows[0] == rows[1] != rows[2]
    for seed, found in ((0, rows[0]), (1, rows[2])):
        places = image_places(300, 40, seed).numpy()
        for row in found:
            right = layers(out, row["depth"], "test")[-1].argmax(1) == labels()
            assert (row["n_test"], row["relu_correct"]) == (40, right[places].sum())


def test_auto_without_mnist_runs_on_digits_with_a_notice_and_names_its_files_so(
    out, tmp_path, monkeypatch, caplog
):
    def refuse(name, data_dir):
        raise OSError("network is unreachable")

    monkeypatch.setattr(datasets, "_download", refuse)
    places = [*folders(out, "models"), *folders(tmp_path, "results", "data-dir")]
    run(convert_all_models, "--depths", 2, *places, "--samples", 10)
    made = sorted(files_below(tmp_path))
    assert made == ["results/digits/conversion.json", "results/digits/conversion.md"]
    assert results(tmp_path, "conversion")["dataset"] == "digits"
    assert "NOT MNIST" in caplog.text and "TTFS_DATA_DIR" in caplog.text


@pytest.mark.parametrize("neuron", ["B1", "alpha"])
def test_exactness_of_a_sound_conversion_exits_with_0(out, tmp_path, neuron):
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    chosen = ["--samples", 60, "--dtype", "float64", "float32", "--neuron", neuron]
    printed = run(numerical_exactness_test, *DIGITS, *places, *chosen)
    assert "exact: every error under its bound" in printed
    rows = results(tmp_path, "exactness")["rows"]
    assert {row["dtype"] for row in rows} == {"float64", "float32"}
    for depth in (2, 3):
        found = [row["layer"] for row in rows if row["depth"] == depth]
        assert found == [*range(1, depth + 1)] * (len(found) // depth)
    for row in rows:
        assert row["broken"] == 0
        assert row["output"] == (row["layer"] == row["depth"])
        assert row["largest_error"] < (1e-12 if row["dtype"] == "float64" else 1e-3)
        assert not row["output"] or row["agreements"] == row["n_test"] == 60
        if row["trained"] and not row["output"]:
            largest = [a.max() for a in layers(out, row["depth"], "training")[1:-1]]
            length = 1.5 * largest[row["layer"] - 1]
            t_max = 1 + 1.5 * sum(largest[: row["layer"]])
            value = {"event-driven": length, "closed-form:absolute": t_max}.get(row["engine"])
            if value:  # the spacing of the numbers that its spike times are made of
                assert row["ulp"] == np.spacing(np.dtype(row["dtype"]).type(value))


def test_exactness_with_a_limit_far_below_rounding_exits_with_1_and_names_depth_and_layer(
    out, tmp_path, monkeypatch
):
    limits = dict.fromkeys(certificate.LOGIT_LIMIT, 1e-300)
    monkeypatch.setattr(certificate, "LOGIT_LIMIT", limits)
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    chosen = ["--samples", 20, "--dtype", "float32"]
    printed = run(numerical_exactness_test, *DIGITS, *places, *chosen, status=1)
    for depth in (2, 3):
        assert re.search(f"^depth {depth}, layer {depth}, float32.*: logits off", printed, re.M)
    assert "exact: every" not in printed


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_exactness_of_a_conversion_that_drops_a_bias_exits_with_1_and_names_the_layer(
    out, tmp_path, monkeypatch, layer
):
    def convert_without_bias(network, window_lengths, neuron="B1"):
        biases = [bias * (n != layer) for n, bias in enumerate(network.biases, start=1)]
        return convert(ReluNetwork(network.weights, biases), window_lengths, neuron)

    monkeypatch.setattr(numerical_exactness_test, "convert", convert_without_bias)
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    chosen = ["--dataset", "digits", "--depths", 3, "--samples", 20, "--dtype", "float64"]
    printed = run(numerical_exactness_test, *chosen, *places, status=1)
    assert re.search(
        f"^depth 3, layer {layer}, float64, closed-form: .* above their bound", printed, re.M
    )
    for sound in range(1, layer):
        assert f"depth 3, layer {sound}," not in printed
    assert {r["layer"] for r in results(tmp_path, "exactness")["rows"] if r["broken"]} >= {layer}


@pytest.mark.parametrize(("factor", "status"), [(1, 0), (0, 1)])
def test_exactness_run_as_a_program_hands_its_verdict_to_the_shell(
    out, tmp_path, monkeypatch, factor, status
):
    def convert_with_other_biases(network, window_lengths, neuron="B1"):
        biases = [bias * factor for bias in network.biases]
        return convert(ReluNetwork(network.weights, biases), window_lengths, neuron)

    monkeypatch.setattr("ttfs.conversion.convert", convert_with_other_biases)
    places = [*folders(out, "models"), *folders(tmp_path, "results")]
    chosen = ["--dataset", "digits", "--depths", "2", "--samples", "20", "--dtype", "float64"]
    script = str(ROOT / "numerical_exactness_test.py")
    monkeypatch.setattr(sys, "argv", [script, *chosen, *places])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(script, run_name="__main__")
    assert stop.value.code == status
