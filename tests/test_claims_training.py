"""That the prose on training in the time domain says what the committed results say."""

import pytest
from committed import ALL, DEPTHS, rows

from experiments import learning
from experiments.fine_tuning import ALL_AT_ONCE, FOLLOWED, SCRATCH, TRAINED_ON, mean_lost
from experiments.learning import (
    fewest_spikes,
    mean_accuracy,
    spikes_per_image,
    spikes_per_neuron,
)
from experiments.sparse_training import AS_CONVERTED, FINE_TUNED, HOYER
from experiments.training_equivalence import OWN, PLAIN, SLOW
from ttfs.metrics import percent
from ttfs.stages.results import grouped
from ttfs.stages.tables import accuracy_and_interval

pytestmark = pytest.mark.pages
DEEP = {"depth": 8}


def steps_of(network: str, **keys) -> list[dict]:
    return rows("training_equivalence", network=network, kind="step", **DEEP | keys)


def end_of(network: str) -> dict:
    (row,) = rows("training_equivalence", network=network, kind="end", **DEEP)
    return row


def accuracy(row: dict, key: str = "snn_correct") -> str:
    return f"{percent(row[key], row['n_test']):.1f} %"


def steps():
    return f"{steps_of('B1')[-1]['step']:,}"


def same_weights():
    for row in rows("training_equivalence", network="B1", kind="step"):
        assert row["weight_difference"] == 0 and row["loss"] == row["relu_loss"]
    return f"after {steps()} steps at 8 layers, the same weights bit for bit"


def first_drift():
    return f"{steps_of('B1, absolute time')[0]['weight_difference']:.0e}"


def last_drift():
    drift = [row["weight_difference"] for row in steps_of("B1, absolute time")]
    assert drift[-1] == max(drift) < 1e-9
    return f"{drift[-1]:.0e}"


def same_labels():
    for network in ("B1", "B1, absolute time"):
        for row in rows("training_equivalence", network=network, kind="end"):
            assert row["agreements"] == row["n_test"] == 10_000 and row["saturations"] == 0
            assert row["validation_correct"] == row["relu_validation_correct"]
    return (
        "Trained either way, it gives all 10,000 test images the ReLU network's label, and as many "
        "validation images are right after each epoch."
    )


def exploded():
    (first, *_) = steps_of(PLAIN)
    factor = first["gradients"][0] / first["relu_gradients"][0]
    return f"{float(f'{factor:.1g}'):,.0f} times"


def plain_accuracy():
    return f"{accuracy(end_of(PLAIN))} of the test images are right"


def own_accuracy():
    row = end_of(OWN)
    return f"{accuracy(row)} instead of {accuracy(row, 'relu_correct')} are right at 8 layers"


def fallen():
    silent, own = steps_of(OWN)[-1]["falling"], steps_of(OWN)[0]["falling"]
    assert own == 0
    return f"{silent:,} of the 2,800 neurons have B <= 0"


def slow_accuracy():
    row, silent = end_of(SLOW), steps_of(SLOW)[-1]["falling"]
    return f"{silent} neurons fall silent, and {accuracy(row)} are right"


def sparse(depth: int, target: float) -> list[dict]:
    settings = grouped(rows("sparse_training", depth=depth, network=HOYER), "weight").values()
    return fewest_spikes(settings, target)


def hoyer(depth: int, weight: float, network: str = HOYER) -> list[dict]:
    return rows("sparse_training", depth=depth, network=network, weight=weight)


def a_dozen():
    found = sparse(2, 98.2)
    assert len(found) == 3 and min(map(learning.accuracy, found)) >= 98.2
    assert spikes_per_image(found) <= 12
    return (
        f"{spikes_per_image(found):.1f} hidden spikes per image keep {mean_accuracy(found):.2f} % "
        f"(mean of three seeds; {spikes_per_neuron(found):.3f} per neuron)"
    )


def weaker():
    found = hoyer(2, 4)
    assert len(found) == 3 and mean_accuracy(found) >= 98.4 and spikes_per_neuron(found) <= 0.04
    return (
        f"With a penalty of 4, {spikes_per_image(found):.1f} keep {mean_accuracy(found):.2f} % "
        f"({spikes_per_neuron(found):.3f} per neuron)"
    )


def instead_of():
    (row,) = hoyer(2, 0, AS_CONVERTED)
    return f"instead of {spikes_per_image([row]):.0f} at {learning.accuracy(row):.2f} %"


def deeper():
    found = [sparse(depth, 98.4) for depth in DEPTHS[1:]]
    spikes = " / ".join(f"{spikes_per_neuron(part):.3f}" for part in found)
    right = " / ".join(f"{mean_accuracy(part):.2f}" for part in found)
    assert all(spikes_per_neuron(part) <= 0.04 and mean_accuracy(part) >= 98.4 for part in found)
    return f"{spikes} spikes per neuron keep {right} % at 4 / 6 / 8 layers"


def barely_any():
    few = [spikes_per_image(sparse(depth, 98.0)) for depth in DEPTHS[1:]]
    right = [mean_accuracy(sparse(depth, 98.0)) for depth in DEPTHS[1:]]
    return (
        f"{min(few):.0f} to {max(few):.0f} hidden spikes per image in all, "
        f"with {min(right):.2f} to {max(right):.2f} % right"
    )


def normalised_alone():
    found = [hoyer(depth, 0) for depth in DEPTHS]
    right = " / ".join(f"{mean_accuracy(part):.2f}" for part in found)
    spikes = " / ".join(f"{spikes_per_neuron(part):.2f}" for part in found)
    return f"{right} % at 2 / 4 / 6 / 8 layers, with {spikes} spikes per neuron"


def on_from_the_trained():
    (row,) = hoyer(8, 3, FINE_TUNED)
    return (
        f"at 8 layers it takes {spikes_per_neuron([row]):.3f} spikes per neuron "
        f"to {learning.accuracy(row):.2f} %"
    )


def all_exact():
    found = rows("sparse_training")
    assert all(row["agreements"] == row["n_test"] == 10_000 for row in found)
    return f"all {len(found)} networks give the label of their ReLU network on all 10,000 images"


def input_spikes():
    return f"{hoyer(2, 6)[0]['input_spikes'] / 10_000:.0f} pixels fire per image"


def record(name: str, depth: int) -> dict:
    (row,) = rows("records", record=name, depth=depth)
    return row


def all_at_once():
    found = [record("two_ticks_4_bits", depth) for depth in DEPTHS]
    for row in found:
        assert (row["ticks"], row["weight_bits"]) == (2, 4) and spikes_per_neuron([row]) <= 0.05
    right = " / ".join(f"{learning.accuracy(row):.2f}" for row in found)
    return f"{right} % at 2 / 4 / 6 / 8 layers"


def one_tick():
    found = [record("one_tick", depth) for depth in (2, 4)]
    assert all(row["ticks"] == 1 for row in found)
    return " / ".join(f"{learning.accuracy(row):.2f}" for row in found) + " % at 2 / 4 layers"


def two_ticks():
    found = [record("two_ticks", depth) for depth in DEPTHS]
    assert all(row["ticks"] == 2 for row in found)
    right = " / ".join(f"{learning.accuracy(row):.2f}" for row in found)
    trained = [rows("conversion", depth=depth)[0] for depth in DEPTHS]
    relu = " / ".join(f"{percent(row['relu_correct'], row['n_test']):.2f}" for row in trained)
    return f"{right} % at 2 / 4 / 6 / 8 layers, where the networks trained as ReLU have {relu} %"


def ternary():
    row = record("ternary", 2)
    assert row["weight_bits"] == 1.6
    return f"{learning.accuracy(row):.2f} %"


def wide():
    row = record("wide", 4)
    assert row["engine"] == "event-driven"
    return f"{accuracy_and_interval(row)} at 4 layers of 1,000"


def exact_records():
    found = rows("records", ticks=None)
    assert len(found) > 4 and all(row["agreements"] == row["n_test"] for row in found)
    return f"all {found[0]['n_test']:,} test images"


def met(aim: str, how: str = "fine-tuned") -> list[list[dict]]:
    found = [rows("fine_tuning", depth=depth, aim=aim, how=how) for depth in DEPTHS]
    assert all(found)
    return found


def rights(aim: str, how: str = "fine-tuned") -> str:
    return " / ".join(f"{mean_accuracy(part):.2f}" for part in met(aim, how)) + " %"


def losses(aim: str, how: str = "fine-tuned") -> str:
    points = [round(mean_lost(part), 2) + 0.0 for part in met(aim, how)]
    return " / ".join(f"{lost:.2f}" for lost in points) + " points"


def tuned_two_ticks():
    conversion = rights("2 ticks", "converted")
    return f"with two ticks per window {rights('2 ticks')} are right, instead of {conversion}"


def tuned_one_tick():
    return f"with one tick {rights('1 tick')}, instead of {rights('1 tick', 'converted')}"


def tuned_jitter():
    aim = "jitter of 10 %"
    return f"jitter of 10 % of a window costs {losses(aim)} instead of {losses(aim, 'converted')}"


def tuned_loss():
    aim = "10 % of the spikes lost"
    return f"10 % lost spikes cost {losses(aim)} instead of {losses(aim, 'converted')}"


def tuned_ternary():
    aim = "ternary weights"
    return f"ternary weights cost {losses(aim)} instead of {losses(aim, 'converted')}"


def tuned_all():
    spikes = " / ".join(f"{spikes_per_neuron(part):.3f}" for part in met(ALL_AT_ONCE))
    return f"{rights(ALL_AT_ONCE)} with {spikes} spikes per neuron"


def controls():
    return (
        f"lose {losses('2 ticks', TRAINED_ON)} with two ticks, and {losses('2 ticks')} fine-tuned"
    )


def followed():
    (stay, *_), (follow, *_) = (met("2 ticks", how)[3] for how in ("fine-tuned", FOLLOWED))
    grown = follow["windows"][-2] / stay["windows"][-2]
    return (
        f"at 8 layers the last but one grows to {grown:.0f} times the length, "
        f"and {mean_accuracy([follow]):.2f} % are right instead of {mean_accuracy([stay]):.2f} %"
    )


def first_page():
    worst = max(mean_lost(part) for part in met("ternary weights"))
    return (
        f"with two ticks per window {rights('2 ticks')} are right; "
        f"ternary weights cost at most {worst:.2f} points"
    )


def few():
    found = sparse(2, 98.2)
    return (
        f"{spikes_per_image(found):.1f} hidden spikes per image keep {mean_accuracy(found):.2f} % "
        f"at 2 layers"
    )


def from_scratch():
    return f"{losses('2 ticks', SCRATCH)} are lost with two ticks"


TUNED = [tuned_two_ticks, tuned_one_tick, tuned_jitter, tuned_loss, tuned_ternary, tuned_all]
TUNED += [controls, followed, from_scratch, first_page, few]
CLAIMS = [steps, same_weights, first_drift, last_drift, same_labels, exploded]
CLAIMS += [plain_accuracy, own_accuracy, fallen, slow_accuracy]
CLAIMS += [a_dozen, weaker, instead_of, deeper, barely_any, normalised_alone, on_from_the_trained]
CLAIMS += [all_exact, input_spikes, all_at_once, two_ticks, one_tick, ternary, wide, exact_records]
CLAIMS += TUNED


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_number_in_the_prose_is_in_the_results(claim):
    assert claim() in ALL
