"""The notebook runs top to bottom, and shows what it showed when it was committed."""

import contextlib
import io
import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "your_network.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def source(cell) -> str:
    return "".join(cell["source"])


def printed(cell) -> str:
    """Return what a committed cell prints."""
    streams = (out for out in cell["outputs"] if out["output_type"] == "stream")
    return "".join("".join(out["text"]) for out in streams)


@pytest.fixture(scope="module")
def found():
    """Return what every code cell prints when they are run in order."""
    matplotlib.use("Agg")
    names, texts = {"__name__": "__main__"}, []
    for cell in CODE:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(source(cell), str(NOTEBOOK), "exec"), names)  # noqa: S102
        texts.append(out.getvalue())
    matplotlib.pyplot.close("all")
    return texts


def test_it_prints_what_was_committed_but_for_what_training_leaves_open(found):
    """What a network has learnt differs between processors: the lines that say so are left out."""
    assert [bool(text) for text in found] == [bool(printed(cell)) for cell in CODE]
    for text, cell in zip(found, CODE, strict=True):
        if "accuracy" not in source(cell) and "print(snn)" not in source(cell):
            assert text == printed(cell)


def test_every_answer_is_the_models(found):
    assert "".join(found).count("the model's label on 300 of 300 test images") == 2


def test_it_was_committed_as_it_ran_from_top_to_bottom():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = {out["output_type"] for cell in CODE for out in cell["outputs"]}
    assert kinds == {"stream", "display_data"}
    assert "site-packages" not in NOTEBOOK.read_text()
