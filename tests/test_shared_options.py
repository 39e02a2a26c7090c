"""The options that the scripts share: default, type, limits, and what each comes to."""

import io
import sys
from pathlib import Path

import pytest

from ttfs.stages import options
from ttfs.stages.options import COMMON, ROOT, Parser, positive, progress, whole

OPTIONS = {  # by name: the default, a text, and the value that it stands for
    "dataset": ("auto", ["digits"], "digits"),
    "data-dir": (None, ["folder"], Path("folder")),
    "depths": ([2, 4, 6, 8], ["8", "2", "8"], [8, 2]),
    "network": ("mlp", ["lenet"], "lenet"),
    "samples": (None, ["1"], 1),
    "seed": (0, ["7"], 7),
    "device": ("auto", ["cpu"], "cpu"),
    "formats": (["png"], ["svg", "eps"], ["svg", "eps"]),
    "redraw": (False, [], True),
}


def parsed(name, *arguments, **changes):
    parser = Parser("What it does.", prog="script")
    parser.add(name, **changes)
    return getattr(parser.parse_args(list(arguments)), name.replace("-", "_"))


def refusal(capsys, name, *arguments):
    """Return the one line on standard error that ends the script with status 2."""
    with pytest.raises(SystemExit) as stop:
        parsed(name, f"--{name}", *arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and ": error: " in error
    assert error.count("\n") == 1
    return error


def test_every_shared_option_is_listed_here():
    assert OPTIONS.keys() == COMMON.keys()


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_has_its_default_and_takes_what_it_is_given(name):
    default, text, value = OPTIONS[name]
    if name != "data-dir":  # TTFS_DATA_DIR decides
        assert parsed(name) == default
    found = parsed(name, f"--{name}", *text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("name", ["dataset", "network", "formats"])
def test_an_option_of_words_refuses_another(capsys, name):
    assert "invalid choice: 'other'" in refusal(capsys, name, "other")


@pytest.mark.parametrize(
    ("name", "limits"),
    [("depths", "1 to 1000"), ("samples", "1 or more"), ("seed", f"0 to {2**63 - 1}")],
)
@pytest.mark.parametrize("text", ["1.5", "many", ""])
def test_a_whole_number_is_asked_for_with_its_limits(capsys, name, limits, text):
    assert f"{text!r} is not a whole number, {limits}" in refusal(capsys, name, text)


@pytest.mark.parametrize(
    ("number", "good", "bad"),
    [
        (whole(2), ["2", "3"], ["1", "0", "-2", "2.5", "x"]),
        (whole(0, 9), ["0", "9"], ["-1", "10", "x"]),
        (positive(), ["1e-9", "1e9"], ["0", "-1", "nan", "inf", "x"]),
        (positive(2), ["0.5", "2"], ["2.001", "0", "x"]),
    ],
)
def test_numbers_are_taken_to_their_limits_and_no_further(number, good, bad):
    assert [number(text) for text in good] == [float(text) for text in good]
    for text in bad:
        with pytest.raises(options.argparse.ArgumentTypeError, match=f"'{text}' is not a"):
            number(text)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (whole(2), "is not a whole number, 2 or more"),
        (whole(0, 9), "is not a whole number, 0 to 9"),
        (positive(), "is not a number above 0"),
        (positive(2), "is not a number above 0 and at most 2"),
    ],
)
def test_a_refused_number_is_shown_in_part_with_what_it_may_be(number, words):
    with pytest.raises(options.argparse.ArgumentTypeError) as refused:
        number("x" * 60)
    assert str(refused.value) == f"'{'x' * 50}' {words}"


def test_help_shows_the_docstring_as_written_and_every_default():
    parser = Parser("First line.\n\n    python script.py", prog="script")
    parser.add(*COMMON)
    text = parser.format_help()
    assert "First line.\n\n    python script.py" in text
    assert "(default: auto)" in text and "(default: [2, 4, 6, 8])" in text


def test_a_script_may_change_an_option_and_the_others_do_not_see_it():
    assert parsed("samples", default=5) == 5
    assert parsed("samples") is None


def folders(*arguments, outputs=("results", "figures")):
    parser = Parser("", prog="script")
    parser.add("dataset", "data-dir", "depths", "seed", "device", "network", "formats")
    parser.add_inputs("models")
    parser.add_outputs(*outputs)
    args = parser.parse_args(list(arguments))
    return [getattr(args, name) for name in outputs], args


@pytest.mark.parametrize(
    ("arguments", "apart"),
    [
        ([], False),
        (["--seed", "0", "--depths", "2", "4", "6", "8", "8"], False),
        (["--dataset", "digits"], False),
        (["--device", "cpu"], False),
        (["--formats", "pdf"], False),
        (["--models", str(ROOT / "results" / ".." / "models")], False),
        (["--models", "elsewhere"], True),
        (["--seed", "1"], True),
        (["--depths", "4"], True),
    ],
)
def test_other_settings_and_other_inputs_lead_to_folders_apart(arguments, apart):
    found, _ = folders(*arguments)
    assert found == [ROOT / name / ("look" if apart else "") for name in ("results", "figures")]


def test_lenet_has_its_own_depth_and_no_other(capsys):
    assert folders("--network", "lenet")[1].depths == [4]
    with pytest.raises(SystemExit):
        folders("--network", "lenet", "--depths", "2")
    assert "lenet has 4" in capsys.readouterr().err


def test_a_setting_beside_redraw_is_refused_by_its_name(capsys):
    def parse(*arguments):
        parser = Parser("", prog="script")
        parser.add("dataset", "data-dir", "samples", "seed", "formats", "redraw")
        return parser.parse_args(["--redraw", *arguments])

    assert parse("--dataset", "digits", "--formats", "pdf").redraw
    with pytest.raises(SystemExit):
        parse("--data-dir", "elsewhere", "--seed", "1", "--samples", "5")
    error = capsys.readouterr().err
    assert ": --data-dir, --samples, --seed would have no effect\n" in error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_alone_and_cleared(monkeypatch):
    for file in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", file)
        assert list(progress(range(3), "training", unit="epoch")) == [0, 1, 2]
        shown = file.getvalue()
        assert ("training:" in shown, "epoch" in shown) == (file.isatty(), file.isatty())
        assert "\n" not in shown and shown.rpartition("\r")[2].strip() == ""
