"""The shared command line: what is made with other settings is kept apart, and says so."""

import pytest
import torch
from pipeline import DIGITS, QUICK, files_below, folders, run
from studied import ONE_IMAGE

import convert_all_models
import create_plot
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
import train_mnist_pytorch
from experiments import __main__ as experiments
from ttfs.stages import options
from ttfs.stages.options import ROOT, device_of, settings

SCRIPTS = {
    train_mnist_pytorch: ("models", "results"),
    convert_all_models: ("results",),
    create_plot: ("figures",),
    spike_distribution_plot: ("results", "figures"),
    time_axis_schematic: ("results", "figures"),
    numerical_exactness_test: ("results",),
}
OTHER = {
    train_mnist_pytorch: ["--epochs 1", "--depths 2", "--seed 1", "--width 20", "--threads 1"],
    convert_all_models: ["--windows fixed:15", "--engine clock:3", "--dtype float32"]
    + ["--depths 2", "--samples 10", "--neuron alpha", "--models elsewhere"],
    create_plot: ["--results elsewhere"],
    spike_distribution_plot: ["--samples 10", "--depths 2 4", "--models elsewhere"],
    time_axis_schematic: ["--image 7", "--seed 1"],
    numerical_exactness_test: ["--dtype float64", "--samples 10", "--random-depths"],
}


def name_of(value):
    return getattr(value, "__name__", None)


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_committed_settings_go_to_the_committed_folders(script):
    for arguments in (
        [],
        ["--dataset", "mnist"],
        ["--data-dir", "x"][: 2 * (script != create_plot)],
    ):
        args = script.parse(arguments)
        for name in SCRIPTS[script]:
            assert getattr(args, name) == ROOT / name


@pytest.mark.parametrize(
    ("script", "change"), [(s, c) for s, changes in OTHER.items() for c in changes], ids=name_of
)
def test_other_settings_go_to_a_folder_that_git_ignores(script, change):
    args = script.parse(change.split())
    for name in SCRIPTS[script]:
        assert getattr(args, name) == ROOT / name / "look"
        assert f"{name}/look/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_folder_that_is_named_is_used_whatever_the_settings(tmp_path):
    args = convert_all_models.parse(["--depths", "2", "--results", str(tmp_path)])
    assert args.results == tmp_path


def test_a_look_says_that_it_is_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "ROOT", tmp_path)
    monkeypatch.setattr("ttfs.stages.report.ROOT", tmp_path)
    printed = run(train_mnist_pytorch, *DIGITS, *QUICK)
    assert "other settings than the committed ones, so kept apart in look/" in printed
    made = files_below(tmp_path)
    assert made and all("/look/" in name for name in made)
    places = folders(tmp_path, "models", "results")
    assert "kept apart" not in run(train_mnist_pytorch, *DIGITS, *QUICK, *places)


OF_DEPTHS = [n for n in experiments.questions() if n not in (*ONE_IMAGE, "convolutional")]


@pytest.mark.parametrize("name", OF_DEPTHS)
def test_a_short_look_is_kept_apart_unless_told_otherwise(name):
    def parse(*arguments):
        return experiments.parse(name, [*arguments])[1]

    look, whole = parse("--quick"), parse()
    assert (look.depths, whole.depths) == ([2, 4], [2, 4, 6, 8])
    for folder in ("results", "figures"):
        assert getattr(look, folder) == getattr(whole, folder) / "look"
    assert parse("--quick", "--depths", "2", "4", "6", "8").depths == [2, 4, 6, 8]
    told = parse("--quick", "--depths", "8", "8", "--results", str(whole.results))
    assert (told.depths, told.results) == ([8], whole.results)


def test_results_keep_what_they_depend_on_and_nothing_of_the_machine():
    args = experiments.parse("robustness", ["--quick", "--jobs", "3", "--data-dir", "/secret"])[1]
    assert settings(args) == {"depths": [2, 4], "quick": True}
    kept = settings(train_mnist_pytorch.parse(["--data-dir", "/secret", "--seed", "3"]))
    assert kept["seed"] == 3 and "/secret" not in str(kept)


@pytest.mark.parametrize("name", [*OF_DEPTHS, *ONE_IMAGE])
def test_a_network_without_hidden_layers_is_no_subject(capsys, name):
    option = "--depth" if name in ONE_IMAGE else "--depths"
    with pytest.raises(SystemExit) as stop:
        experiments.parse(name, [option, "1"])
    assert stop.value.code == 2
    assert "'1' is not a whole number, 2 to 1000" in capsys.readouterr().err


@pytest.mark.parametrize("script", [train_mnist_pytorch, convert_all_models])
@pytest.mark.parametrize("name", ["hpu", "privateuseone", "nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_in_one_line(capsys, script, name):
    with pytest.raises(SystemExit) as stop:
        script.parse(["--device", name])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and f"'{name}' is unusable; try cpu" in error
    assert error.count("\n") == 1


def test_the_device_is_a_gpu_if_there_is_one_and_what_was_asked_for(monkeypatch):
    args = convert_all_models.parse([])
    for available, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert device_of(args) == device
    asked = convert_all_models.parse(["--device", "cpu"])
    assert device_of(asked) == "cpu" and asked.results == args.results
    assert "device" not in settings(asked)
