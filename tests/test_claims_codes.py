"""That the prose on codes, other trainers and other tools says what the committed results say."""

import pytest
from committed import ALL, DEPTHS, rows

from experiments import peers
from experiments.direct_training import FIRST_SPIKE, LEAKY, QUANTISED, UNLEAKY
from experiments.passes.surrogate import CURRENT, LATENCY, RATE
from experiments.spike_codes import (
    CLOCK,
    CONTINUOUS,
    LEVELS,
    PATTERN,
    best,
    cheapest,
    energies,
    equal,
    hidden_spikes,
    spikes,
)
from experiments.spike_codes import CURRENT as RATE_OF_CURRENT
from experiments.spike_codes import QUANTISED as NO_SPIKES
from experiments.spike_codes import RATE as RATE_CODE
from experiments.witness import largest
from ttfs.metrics import percent
from ttfs.stages.results import grouped

pytestmark = pytest.mark.pages


def listed(values, form: str = "{:.0f}") -> str:
    return " / ".join(map(form.format, values))


def chosen(depth: int, code: str) -> dict:
    return cheapest(rows("spike_codes", depth=depth, code=code))


def all_chosen(code: str) -> list[dict]:
    return [chosen(depth, code) for depth in DEPTHS]


def accuracy(row: dict) -> str:
    return f"{percent(row['snn_correct'], row['n_test']):.2f} %"


def alike():
    """Codes of levels: the same answers at every depth and number of levels."""
    count = 0
    for depth in DEPTHS:
        for bits in range(6):
            found = [rows("spike_codes", depth=depth, code=c, bits=bits)[0] for c in LEVELS]
            for key in ("snn_correct", "validation_correct"):
                assert len({row[key] for row in found}) == 1
            assert found[0]["spikes"] == found[2]["spikes"]
            count += 1
    assert count == 24
    return "right on the same number of images in all 24 combinations of depth and levels"


def exact():
    for row in rows("spike_codes", code=CONTINUOUS):
        assert row["snn_correct"] == row["relu_correct"]
    return "In continuous time, first spikes lose nothing"


def levels_enough():
    return (
        f"{listed(2 ** row['bits'] for row in all_chosen(CLOCK))} levels are enough at 2 / 4 / 6 / "
        f"8 layers"
    )


def arithmetic():
    clock, none = (energies(chosen(8, code)) for code in (CLOCK, NO_SPIKES))
    return (
        f"arithmetic alone takes {clock[0]:.0f} nJ per image at 8 layers instead of {none[0]:.0f}"
    )


def with_memory():
    clock, none = (energies(chosen(8, code)) for code in (CLOCK, NO_SPIKES))
    assert clock[1] > none[1]
    return f"with memory {clock[1]:,.0f} nJ instead of {none[1]:,.0f}"


def never_less_with_memory():
    for depth in DEPTHS:
        codes = (CONTINUOUS, CLOCK, PATTERN, RATE_CODE, RATE_OF_CURRENT)
        spiking = [chosen(depth, code) for code in codes]
        none = energies(chosen(depth, NO_SPIKES))[1]
        assert all(energies(row)[1] > none for row in spiking)
    return "With memory, no code of this table costs less than the network without spikes"


def waiting():
    clock, none = chosen(8, CLOCK), chosen(8, NO_SPIKES)
    return f"{clock['steps']} ticks at 8 layers, instead of {none['steps']} steps, one per layer"


def updates():
    row = chosen(8, CLOCK)
    return (
        f"{row['updates'] / row['n_test']:,.0f} updates of potentials per image at 8 layers, "
        f"beside {row['sums'] / row['n_test']:,.0f} synaptic operations"
    )


def rates():
    total, clock = ([spikes(row) for row in all_chosen(code)] for code in (RATE_CODE, CLOCK))
    steps = [row["steps"] for row in all_chosen(RATE_CODE)]
    return (
        f"rates need {listed(steps)} steps and {listed(total, '{:,.0f}')} spikes per image, inputs "
        f"included, where a clock's first spikes are {listed(clock)}: "
        f"{listed((r / c for r, c in zip(total, clock, strict=True)), '{:.1f}')} times as many"
    )


def rates_of_current():
    current, clock = (all_chosen(code) for code in (RATE_OF_CURRENT, CLOCK))
    pairs = zip(current, clock, strict=True)
    times = [hidden_spikes(c) / hidden_spikes(k) for c, k in pairs]
    return (
        f"With pixels as current, they need {listed(row['steps'] for row in current)} steps, and "
        f"{listed(times, '{:.1f}')} times the hidden spikes"
    )


def largest_scale():
    found = rows("spike_codes", depth=8, code=RATE_CODE, quantile=1.0)
    enough = [row for row in found if equal(row)]
    first = min(enough, key=lambda row: row["steps"])
    return f"{first['steps']} steps and {spikes(first):,.0f} spikes at 8 layers"


def readme_codes():
    total, clock = ([spikes(row) for row in all_chosen(code)] for code in (RATE_CODE, CLOCK))
    times = [r / c for r, c in zip(total, clock, strict=True)]
    return (
        f"{min(times):.1f} to {max(times):.1f} times fewer spikes than rates at equal accuracy; no "
        f"gain over the quantised ReLU network once memory counts"
    )


def tool(depth: int, name: str, **keys) -> list[dict]:
    return rows("peers", depth=depth, tool=name, **keys)


def ratio(row: dict) -> float:
    return row["seconds"] / row["relu_seconds"]


def own(depth: int, setting: str) -> dict:
    (row,) = tool(depth, peers.HERE, setting=setting)
    return row


def quickest():
    closed = [ratio(own(depth, peers.CLOSED)) for depth in (2, 8)]
    others = [[ratio(peers.best(tool(depth, name))) for name in peers.PEERS] for depth in (2, 8)]
    spread = [f"{min(found):.0f} to {max(found):.0f}" for found in others]
    return (
        f"the closed form takes {listed(closed, '{:.1f}')} ReLU forward passes at 2 / 8 layers, "
        f"the tools at their best {' / '.join(spread)}"
    )


def fewer():
    clock, found = own(8, peers.CLOCK), [peers.best(tool(8, name)) for name in peers.PEERS]
    hidden = [hidden_spikes(row) / hidden_spikes(clock) for row in found]
    total = [spikes(row) / spikes(clock) for row in found]
    return (
        f"{min(hidden):.1f} to {max(hidden):.1f} times the hidden spikes of first spikes on a "
        f"clock, and {min(total):.1f} to {max(total):.1f} times as many with those of the inputs"
    )


def as_it_comes():
    (row,) = tool(8, "SpikingJelly", setting="largest activation")
    found = peers.best(tool(8, "SpikingJelly"))
    assert not equal(row) and equal(found)
    return (
        f"As it comes, SpikingJelly has {accuracy(row)} at 8 layers after {row['steps']} steps, "
        f"with {hidden_spikes(row):,.0f} hidden spikes; with a scale per neuron and potentials "
        f"that start at half the threshold, {accuracy(found)} after {found['steps']}"
    )


def scaled_wrongly():
    (row,) = tool(8, "sinabs", setting="its own scaling by 99.9 %")
    assert not equal(row)
    return f"{accuracy(row)} after {row['steps']} steps"


def readme_peers():
    clock, closed = own(8, peers.CLOCK), ratio(own(8, peers.CLOSED))
    found = [peers.best(tool(8, name)) for name in peers.PEERS]
    more = [hidden_spikes(row) / hidden_spikes(clock) for row in found]
    times, steps = list(map(ratio, found)), sorted({row["steps"] for row in found})
    after = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    return (
        f"At 8 layers the tools send {min(more):.1f} to {max(more):.1f} times the hidden spikes "
        f"of first spikes on a clock, and take {min(times):.0f} to {max(times):.0f} ReLU forward "
        f"passes, the closed form {closed:.1f}; but they answer after {after} steps, first spikes "
        f"after {clock['steps']} ticks"
    )


def events():
    return f"Spike by spike, {ratio(own(8, peers.EVENTS)):.0f} ReLU forward passes at 8 layers"


def trainer(depth: int, name: str, **keys) -> list[dict]:
    return rows("direct_training", depth=depth, trainer=name, **keys)


def at_least_98():
    lowest = {}
    for depth in (2, 8):
        for name in (LEAKY, UNLEAKY, QUANTISED, FIRST_SPIKE):
            lowest[name, depth] = max(row["snn_correct"] for row in trainer(depth, name))
    assert min(lowest.values()) >= 9840
    return (
        f"Each way of training reaches at least {min(lowest.values()) / 100:.1f} % at both depths"
    )


def spiking(row: dict) -> str:
    return f"{hidden_spikes(row):,.0f} hidden spikes ({accuracy(row)})"


def readme_direct():
    ours, leaky = best(trainer(8, FIRST_SPIKE, setting=4)), best(trainer(8, LEAKY))
    return (
        f"in fewer steps: at 8 layers {accuracy(leaky)} after {leaky['steps']}; first spikes "
        f"{accuracy(ours)} after {ours['steps']}, with "
        f"{hidden_spikes(leaky) / hidden_spikes(ours):.1f} times fewer spikes"
    )


def spikes_at_2():
    others, ours = best(trainer(2, QUANTISED, steps=2)), best(trainer(2, FIRST_SPIKE, setting=4))
    assert others["snn_correct"] > ours["snn_correct"]
    return (
        f"at 2 layers, quantised activations with {spiking(others)} in two steps are ahead of "
        f"first spikes with {spiking(ours)} in {ours['steps']}"
    )


def spikes_at_8():
    ours, quantised_ = (
        best(trainer(8, FIRST_SPIKE, setting=4)),
        best(trainer(8, QUANTISED, steps=8)),
    )
    leaky = best(trainer(8, LEAKY))
    return (
        f"at 8 layers first spikes are, with {spiking(ours)}, where quantised activations take "
        f"{spiking(quantised_)} and surrogate gradients {spiking(leaky)}"
    )


def surrogate():
    found = [best(trainer(depth, LEAKY, inputs=CURRENT, steps=4)) for depth in (2, 8)]
    right = listed((row["snn_correct"] / 100 for row in found), "{:.2f}")
    number = listed(map(hidden_spikes, found), "{:,.0f}")
    return f"four steps of current give {right} % at 2 / 8 layers, with {number} hidden spikes"


def other_inputs():
    def right(inputs, name=LEAKY):
        found = (trainer(2, name, inputs=inputs, steps=steps)[0] for steps in (8, 25))
        return " and ".join(f"{row['snn_correct'] / 100:.2f}" for row in found)

    return (
        f"rates give {right(RATE)} % after 8 and 25 steps, latencies {right(LATENCY)} %, and "
        f"without a leak, which forgets early spikes, {right(LATENCY, UNLEAKY)} %"
    )


def quantised():
    found = [
        [
            best(trainer(depth, QUANTISED, steps=steps))["snn_correct"] / 100
            for steps in (1, 2, 4, 8)
        ]
        for depth in (2, 8)
    ]
    return f"{listed(found[0], '{:.2f}')} % after 1 / 2 / 4 / 8 steps at 2 layers, " + (
        f"{listed(found[1], '{:.2f}')} % at 8"
    )


def ticks():
    found = [[best(trainer(depth, FIRST_SPIKE, setting=n)) for n in (1, 2, 4)] for depth in (2, 8)]
    right = [[row["snn_correct"] / 100 for row in part] for part in found]
    number = [[hidden_spikes(row) for row in part] for part in found]
    return (
        f"{listed(right[0], '{:.2f}')} % with 1 / 2 / 4 ticks at 2 layers, "
        f"{listed(right[1], '{:.2f}')} % at 8, with {listed(number[0])} and "
        f"{listed(number[1])} hidden spikes"
    )


def training_time():
    def minutes(name, **keys):
        return best(trainer(8, name, **keys))["seconds"] / 60

    return (
        f"{minutes(LEAKY):.1f} minutes of one thread at 8 layers for surrogate gradients, "
        f"{minutes(QUANTISED, setting=4):.1f} for quantised activations, "
        f"{minutes(FIRST_SPIKE, setting=2):.1f} for first spikes"
    )


def witness_first_layer():
    first = max(
        n * largest(found, "differences")[0]
        for (_, n), found in grouped(rows("witness"), "depth", "steps_per_window").items()
    )
    return f"in the first layer within {first:.2f} steps"


def witness_all():
    worst = max(
        n * max(largest(found, "differences"))
        for (_, n), found in grouped(rows("witness"), "depth", "steps_per_window").items()
    )
    finest = rows("witness", steps_per_window=16384)
    apart = max(max(row["differences"]) for row in finest)
    assert all(row["same_label"] for row in rows("witness"))
    return (
        f"in the last layers within {worst:.1f} steps; with 16,384 steps per window, no spike is "
        f"off by more than {apart:.1e} windows"
    )


def witness_alone():
    finest = rows("witness", steps_per_window=16384)
    alone, all_ = (sum(sum(row[key]) for row in finest) for key in ("unmatched", "spikes"))
    return f"{alone} of {all_:,} spikes"


CLAIMS = [
    alike,
    exact,
    levels_enough,
    arithmetic,
    with_memory,
    never_less_with_memory,
    waiting,
    updates,
    rates,
    rates_of_current,
    largest_scale,
    quickest,
    fewer,
    as_it_comes,
    scaled_wrongly,
    events,
    at_least_98,
    readme_codes,
    readme_direct,
    readme_peers,
    spikes_at_2,
    spikes_at_8,
    surrogate,
    other_inputs,
    quantised,
    ticks,
    training_time,
    witness_first_layer,
    witness_all,
    witness_alone,
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_number_in_the_prose_is_in_the_results(claim):
    assert claim() in ALL
