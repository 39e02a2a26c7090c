"""That the prose on convolutional networks and other data says what the committed results say."""

import pytest
from committed import ALL, ROOT, rows

from experiments.learning import accuracy, spikes_per_neuron
from ttfs.metrics import points_lost
from ttfs.stages.results import load_results

pytestmark = pytest.mark.pages

CONVERSIONS = ("conversion", "lenet/conversion", "fashion/conversion")


def percent_right(row: dict) -> str:
    return f"{accuracy(row):.2f} %"


def converted(name: str, engine: str = "event-driven") -> list[dict]:
    return rows(name, engine=engine)


def exact():
    for name in CONVERSIONS:
        found = rows(name)
        assert {row["engine"] for row in found} == {"event-driven", "closed-form"}
        assert all(row["agreements"] == row["n_test"] == 10_000 for row in found)
    (row,) = rows("fashion/lenet/conversion", engine="closed-form")
    assert row["agreements"] == row["n_test"] == 10_000
    single = rows("convolutional", question="exact", dtype="float32")
    assert {row["engine"] for row in single} == {"event-driven", "closed-form"}
    assert all(row["agreements"] == row["n_test"] == 10_000 for row in single)
    return "the same label on all 10,000 test images"


def lenet():
    (row,) = converted("lenet/conversion")
    return f"{percent_right(row)} of MNIST's test images are right"


def fashion():
    mlps = " / ".join(f"{accuracy(row):.2f}" for row in converted("fashion/conversion"))
    (row,) = converted("fashion/lenet/conversion", "closed-form")
    return f"The MLPs have {mlps} % of the test images right, LeNet has {percent_right(row)}"


def fashion_further():
    (row,) = rows("fashion/records", record="lenet_few_spikes")
    assert row["agreements"] == row["n_test"] == 10_000 and row["engine"] == "event-driven"
    return f"{percent_right(row)} with {spikes_per_neuron([row]):.3f} spikes per neuron"


def ticks():
    (row,) = rows("convolutional", engine="clock:2:half-tick")
    (tuned,) = rows("records", record="lenet_four_ticks")
    return (
        f"With four ticks per window {percent_right(row)} are right without retraining, and "
        f"{percent_right(tuned)} after fine-tuning"
    )


def few_spikes():
    (row,) = rows("records", record="lenet_few_spikes")
    (plain,) = rows("convolutional", policy="calibrated", question="windows")
    return (
        f"{spikes_per_neuron([row]):.3f} hidden spikes per neuron, instead of "
        f"{spikes_per_neuron([plain]):.3f}, at {percent_right(row)}"
    )


def longer():
    (row,) = rows("records", record="lenet_longer")
    assert row["agreements"] == row["n_test"] == 10_000 and row["engine"] == "event-driven"
    assert row["snn_correct"] >= 9960
    return f"{percent_right(row)} with {spikes_per_neuron([row]):.3f} hidden spikes per neuron"


def windows():
    (long,) = rows("convolutional", question="windows", policy="calibrated")
    (short,) = rows("convolutional", question="windows", policy="automatic")
    changed = short["n_test"] - short["agreements"]
    return (
        f"Automatic windows bring the latency from {long['latency']:.1f} down to "
        f"{short['latency']:.1f}, for {changed} changed labels"
    )


def jitter():
    found = (rows("convolutional", engine=f"jitter:{level}")[0] for level in ("0.05", "0.1"))
    five, ten = (f"{points_lost(row):.2f}" for row in found)
    return f"jitter of 5 and 10 % of a window costs {five} and {ten} points"


def certified():
    outputs = rows("lenet/exactness", output=True)
    assert len(outputs) == 12 and not any(row["broken"] for row in rows("lenet/exactness"))
    wide = [row for row in outputs if "16" not in row["dtype"]]
    n_test = wide[0]["n_test"]
    assert all(row["agreements"] == row["n_test"] == n_test for row in wide)
    return f"certified on {n_test:,} of them, every error of every layer under its bound"


def trained():
    record = load_results(ROOT / "results" / "lenet" / "training.json", "", {})
    (row,) = record["rows"]
    minutes = row["seconds"] / 60
    return f"{row['epochs']} epochs, {minutes:.0f} minutes"


def first_page():
    (row,) = converted("lenet/conversion")
    (clocked,) = rows("convolutional", engine="clock:2:half-tick")
    (tuned,) = rows("records", record="lenet_four_ticks")
    return (
        f"yes: {percent_right(row)}, exactly; {percent_right(clocked)} with four ticks per window, "
        f"{percent_right(tuned)} fine-tuned"
    )


CLAIMS = [
    first_page,
    exact,
    lenet,
    fashion,
    fashion_further,
    ticks,
    few_spikes,
    longer,
    windows,
    jitter,
    certified,
    trained,
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_number_in_the_prose_is_in_the_results(claim):
    assert claim() in ALL
