import json
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from matplotlib.figure import Figure
from oracles import random_network
from pipeline import files_below, folders
from scripts import (
    AXIS,
    CONVERT,
    EXACTNESS,
    FOLDERS,
    PLOT,
    READ_MODELS,
    RESULTS,
    SPIKES,
    TRAIN,
    name_of,
)
from torchvision.datasets import MNIST

from ttfs.storage import save_network

ROW = {"depth": 2, "engine": "event-driven", "policy": "calibrated", "n_test": 10}
ROW |= {"relu_correct": 9, "snn_correct": 9, "agreements": 10}


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder of untrained networks of one, two and three layers, and results to draw."""
    for depth in (1, 2, 3):
        network = random_network([784, *[8] * (depth - 1), 10])
        save_network(tmp_path / "models" / f"digits_{depth}_layer.pkl", network)
    path = tmp_path / "results" / "digits" / "conversion.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"dataset": "digits", "rows": [ROW]}))
    return tmp_path


def common(script, root: Path) -> list[str]:
    """Return the arguments with which the script succeeds, but for the fault under test."""
    depths = [] if script is PLOT else ["--depths", "2"]
    return ["--dataset", "digits", *depths, *folders(root, *FOLDERS[script])]


def assert_refused(capsys, root: Path, script, arguments, words: str) -> None:
    """Check for status 2, one line on standard error that has the words, and no file written."""
    before = files_below(root)
    with pytest.raises(SystemExit) as stop:
        script.main([*common(script, root), *map(str, arguments)])
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1 and complaint.endswith("\n"), complaint
    assert words in complaint and "error: " in complaint and "Traceback" not in complaint
    assert files_below(root) == before


BAD_OPTIONS = [
    *((script, "--dataset cifar", "'cifar'") for script in FOLDERS),
    *((script, "--nonsense", "--nonsense") for script in FOLDERS),
    *((script, "--depths 0", "--depths: '0'") for script in [TRAIN, *READ_MODELS]),
    *((script, "--samples 0", "--samples: '0'") for script in [CONVERT, EXACTNESS, SPIKES]),
    *((script, "--formats gif", "'gif'") for script in [PLOT, SPIKES, AXIS]),
    (TRAIN, "--device nonsense", "'nonsense' is unusable; try cpu"),
    (TRAIN, "--epochs 0", "--epochs: '0'"),
    (TRAIN, "--width -5", "--width: '-5'"),
    (TRAIN, "--batch-size 0", "--batch-size: '0'"),
    (TRAIN, "--learning-rate nan", "--learning-rate: 'nan'"),
    (TRAIN, "--device meta", "'meta' is unusable; try cpu"),
    (TRAIN, "--epochs many", "--epochs: 'many' is not a whole number, 1 to 10000"),
    (TRAIN, "--threads 100000", "--threads: '100000'"),
    (TRAIN, "--width 1000000000", "--width: '1000000000' is not a whole number, 1 to 10000"),
    (TRAIN, "--depths 30 --width 10000", "2,807,940,000 weights, more than 1,000,000,000: choose"),
    (TRAIN, "--depths 2 1000 --width 1100", "1000 layers of 1,100 neurons have 1,208,453,400"),
    (TRAIN, "--learning-rate 1e30 --epochs 1", "training diverged"),
    (TRAIN, "--target 200", "--target: '200' is not a number above 0 and at most 100"),
    (TRAIN, "--target -1", "--target: '-1'"),
    (TRAIN, f"--seed {10**30}", "seed"),
    (CONVERT, "--windows fixed:0", "t_max is 0"),
    (CONVERT, "--windows fixed:-1", "t_max is -1"),
    (CONVERT, "--windows fixed:nan", "t_max is nan"),
    (CONVERT, "--windows fixed:inf", "t_max is inf"),
    (CONVERT, "--windows fixed:long", "unknown window policy 'fixed:long'"),
    (CONVERT, "--windows fixed", "unknown window policy 'fixed': choose from calibrated"),
    (CONVERT, "--windows fixed:1e-30", "1e-30"),
    (CONVERT, "--windows quantile", "unknown window policy 'quantile'"),
    (CONVERT, "--windows quantile:0", "quantile is 0"),
    (CONVERT, "--windows quantile:1.5", "quantile is 1.5"),
    (CONVERT, "--windows quantile:nan", "quantile is nan"),
    (CONVERT, "--windows calibrated:-1", "margin is -1"),
    (CONVERT, "--windows calibrated:nan", "margin is nan"),
    (CONVERT, "--windows calibrated:", "unknown window policy 'calibrated:'"),
    (CONVERT, "--windows automatic:3", "unknown window policy 'automatic:3'"),
    (CONVERT, "--windows nonsense", "fixed:T_MAX, safe, automatic"),
    (CONVERT, "--neuron LIF", "'LIF'"),
    (CONVERT, "--dtype int8", "'int8'"),
    (CONVERT, "--engine nonsense", "unknown engine 'nonsense': choose from closed-form"),
    (CONVERT, "--engine clock", "unknown engine 'clock'"),
    (CONVERT, "--engine clock:-1", "unknown engine 'clock:-1'"),
    (CONVERT, "--engine clock:3:late", "unknown engine 'clock:3:late'"),
    (CONVERT, "--engine clock:70", "bits is 70"),
    (CONVERT, f"--engine clock:{'9' * 5000}", "unknown engine"),
    (CONVERT, "--engine clock:12 --dtype float16", "bits is 12"),
    (CONVERT, "--engine event-driven:unguarded", "B1 neuron's threshold counts from t_min"),
    (CONVERT, f"--samples 5 --seed {10**30}", "seed"),
    (EXACTNESS, "--dtype float8", "'float8'"),
    (SPIKES, "--depths 1", "'1' is not a whole number, 2 to 13"),
    (AXIS, "--image 300", "--image 300: the test images are 0 to 299"),
    (AXIS, "--image -1", "--image -1: the test images are 0 to 299"),
    (AXIS, "--seed -1", "seed"),
]


@pytest.mark.parametrize(("script", "options", "words"), BAD_OPTIONS, ids=name_of)
def test_bad_option_takes_one_line_and_writes_nothing(capsys, root, script, options, words):
    assert_refused(capsys, root, script, options.split(), words)


@pytest.mark.parametrize("script", READ_MODELS, ids=name_of)
def test_missing_model_names_its_file_and_the_command_that_makes_it(capsys, root, script):
    (root / "models" / "digits_2_layer.pkl").unlink()
    words = "digits_2_layer.pkl not found; run `python train_mnist_pytorch.py"
    assert_refused(capsys, root, script, [], words)


def test_command_named_for_a_missing_model_of_the_digits_makes_one_of_the_digits(capsys, root):
    (root / "models" / "digits_2_layer.pkl").unlink()
    assert_refused(capsys, root, CONVERT, [], "--dataset digits")  # auto may find MNIST


DAMAGES = {
    "cut off": lambda good: good[:1000],
    "empty": lambda good: b"",
    "text": lambda good: b"<html>\nNot found\n</html>\n",
    "persistent id": lambda good: b"\x80\x04P1\n.",
    "unsafe name of two lines": lambda good: b"\x80\x04\x8c\x03os\n\x8c\x07system\n\x93.",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_model_is_refused_by_name(capsys, root, damage):
    path = root / "models" / "digits_2_layer.pkl"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert_refused(capsys, root, CONVERT, [], "digits_2_layer.pkl is not a model file")


@pytest.mark.parametrize("script", READ_MODELS, ids=name_of)
def test_model_of_another_depth_than_its_name_says_is_refused(capsys, root, script):
    models = root / "models"
    (models / "digits_3_layer.pkl").rename(models / "digits_2_layer.pkl")
    assert_refused(capsys, root, script, [], "digits_2_layer.pkl: 3 weight layers, not 2")


@pytest.mark.parametrize("script", READ_MODELS, ids=name_of)
def test_model_of_another_data_set_than_its_name_says_is_refused(capsys, root, script):
    path = root / "models" / "digits_2_layer.pkl"
    save_network(path, random_network([784, 8, 10]), dataset="mnist")
    assert_refused(capsys, root, script, [], f"{path}: trained on 'mnist', not on digits")


@pytest.mark.parametrize("trained_on", [None, ["digits"], np.ones(2), "\x1b[2J" * 50])
def test_model_of_no_data_set_is_refused_in_one_short_line(capsys, root, trained_on):
    path = root / "models" / "digits_2_layer.pkl"
    save_network(path, random_network([784, 8, 10]), dataset=trained_on)
    assert_refused(capsys, root, CONVERT, [], f"{path}: trained on ")


def test_model_that_is_there_as_a_pickle_and_as_an_npz_is_refused(capsys, root):
    save_network(root / "models" / "digits_2_layer.npz", random_network([784, 8, 10]))
    for script in (TRAIN, CONVERT):
        assert_refused(capsys, root, script, [], "digits_2_layer.npz are both there: keep one")


@pytest.mark.parametrize("sizes", [[784, 8, 7], [64, 8, 10]])
def test_model_that_does_not_fit_the_images_is_refused(capsys, root, sizes):
    save_network(root / "models" / "digits_2_layer.pkl", random_network(sizes))
    assert_refused(capsys, root, CONVERT, [], f"{sizes[0]} inputs and {sizes[-1]} outputs")


OUTPUTS = [(TRAIN, "models"), (PLOT, "figures"), (SPIKES, "figures"), (AXIS, "figures")]
OUTPUTS += [(script, "results") for script in FOLDERS if script is not PLOT]


@pytest.mark.parametrize(("script", "folder"), OUTPUTS, ids=name_of)
def test_output_folder_below_a_file_is_refused_before_any_work(
    capsys, root, monkeypatch, script, folder
):
    def work(*args, **kwargs):
        raise AssertionError("images are read before the folder is tried")

    monkeypatch.setattr(script, "load_dataset", work, raising=False)
    (root / "a file").write_text("in the way")
    below = root / "a file" / "below"
    assert_refused(capsys, root, script, [f"--{folder}", below], f"cannot write to {below}")


@pytest.mark.parametrize(
    ("script", "file"),
    [(CONVERT, "results/digits/conversion.json"), (PLOT, "figures/digits/depth_comparison.png")],
    ids=name_of,
)
def test_folder_in_place_of_an_output_file_is_refused(capsys, root, script, file):
    (root / file).unlink(missing_ok=True)
    (root / file).mkdir(parents=True)
    assert_refused(capsys, root, script, ["--dataset", "digits"], Path(file).name)


BAD_RESULTS = {
    "none": (None, "not found; run"),
    "cut off": ("{", "cannot be read"),
    "a list": ("[1]", "no rows"),
    "no rows": ('{"rows": []}', "no rows"),
    "an empty row": ('{"rows": [{}]}', "row 1: it lacks `depth`"),
    "keys missing": ('{"rows": [{"depth": 2}]}', "row 1: it lacks"),
    "another type": ('{"rows": [{"depth": null}]}', "row 1: `depth` is None"),
}


@pytest.mark.parametrize("script", RESULTS, ids=name_of)
@pytest.mark.parametrize("fault", BAD_RESULTS)
def test_missing_or_damaged_results_name_file_fault_and_command(capsys, root, script, fault):
    text, words = BAD_RESULTS[fault]
    path = root / "results" / "digits" / f"{RESULTS[script]}.json"
    path.unlink(missing_ok=True)
    if text:
        path.write_text(text)
    redraw = [] if script is PLOT else ["--redraw"]
    with pytest.raises(SystemExit) as stop:
        places = folders(root, "results", "figures")
        script.main(["--dataset", "digits", *redraw, *places])
    complaint = capsys.readouterr().err
    command = "convert_all_models.py" if script is PLOT else f"{script.__name__}.py"
    assert stop.value.code == 2 and complaint.count("\n") == 1
    assert words in complaint and path.name in complaint
    assert f"run `python {command} --dataset digits --results {root / 'results'}`" in complaint
    assert not list((root / "figures").rglob("*.png"))


@pytest.mark.parametrize("script", [SPIKES, AXIS], ids=name_of)
def test_defect_in_a_drawing_function_keeps_its_traceback(root, monkeypatch, script):
    def defect(*args, **kwargs):
        raise KeyError("depth")

    monkeypatch.setattr(Figure, "subplots", defect)
    monkeypatch.setattr(Figure, "add_subplot", defect)
    with pytest.raises(KeyError):
        script.main(common(script, root))


def test_redrawing_with_an_option_that_would_have_no_effect_is_refused(capsys, root):
    assert_refused(capsys, root, SPIKES, ["--redraw"], "--redraw draws what was measured: --depths")


@pytest.mark.parametrize("script", [TRAIN, *READ_MODELS], ids=name_of)
def test_mnist_that_cannot_be_had_takes_one_line_that_says_how_to_supply_it(
    capsys, root, monkeypatch, script
):
    def unreachable(*args, **kwargs):
        raise URLError("network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    options = ["--dataset", "mnist", "--data-dir", root / "data"]
    assert_refused(capsys, root, script, options, "MNIST/raw")


def test_mnist_whose_download_fails_on_every_mirror_takes_one_line(capsys, root, monkeypatch):
    def fail(self):
        raise RuntimeError("Error downloading train-images:\nTried a, got:\nreset\nTried b, got:\n")

    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: open(__file__, "rb"))
    monkeypatch.setattr(MNIST, "download", fail)
    assert_refused(capsys, root, TRAIN, ["--dataset", "mnist", "--data-dir", root], "downloading")
