"""Tables of the experiments, read by column, from rows made by hand with values that all differ."""

import pytest
from test_script_tables import lines

from experiments import (
    convolutional,
    degradation_causes,
    direct_training,
    energy,
    fine_tuning,
    learning,
    membrane_traces,
    peers,
    published_loss,
    records,
    sparse_training,
    spike_codes,
    training_equivalence,
    witness,
)


def trained_row(**changes) -> dict:
    """Return a row of a network that was trained in the time domain."""
    row = {"n_test": 1000, "relu_correct": 985, "snn_correct": 970, "neurons": 40, "spikes": 12_000}
    row |= {"n_validation": 500, "validation_correct": 480, "validation_spikes": 7_000}
    return row | {"input_spikes": 151_000, "agreements": 964} | changes


def test_counts_per_image_and_per_neuron_are_means_of_test_images():
    rows = [trained_row(), trained_row(snn_correct=980, spikes=16_000, validation_correct=490)]
    assert learning.mean_accuracy(rows) == 97.5 and learning.accuracy(rows[1]) == 98
    assert learning.validation_accuracy(rows) == 97
    assert learning.spikes_per_image(rows) == 14
    assert learning.spikes_per_neuron(rows) == 0.35
    assert learning.mean(rows, "neurons") == 40


def test_sparse_table_has_the_setting_with_the_fewest_spikes_that_keeps_each_accuracy():
    hoyer, own = {"depth": 2, "network": sparse_training.HOYER}, {"depth": 2}
    rows = [trained_row(**own, network=sparse_training.AS_CONVERTED, weight=0)]
    for weight, correct, spikes in ((1, 493, 9_000), (3, 492, 5_000), (6, 489, 1_000)):
        for test in (975, 979):
            keys = {"weight": weight, "validation_correct": correct, "validation_spikes": spikes}
            rows.append(trained_row(**hoyer, **keys, snn_correct=test, spikes=2 * spikes))
    cheap = {"weight": 9, "validation_correct": 499, "validation_spikes": 10}
    rows.append(trained_row(**own, network=sparse_training.L1, **cheap))
    first, *kept = lines(sparse_training.table(rows))
    assert list(first.values()) == [
        *("2", "-", "as converted", "0", "12.0", "0.300", "151", "96.00", "97.00", "-")
    ]
    assert [line["to keep"] for line in kept] == ["98.0 %", "98.2 %", "98.4 %"]
    assert [line["weight"] for line in kept] == ["3", "3", "3"]
    assert list(kept[0].values())[4:] == [
        *("10.0", "0.250", "151", "98.40", "97.70", "97.50 to 97.90")
    ]
    (_, *none) = lines(sparse_training.table([rows[0], *rows[5:7]]))
    assert {line["penalty"] for line in none} == {"none"}


def test_fine_tuning_table_has_the_mean_of_the_noise_seeds_at_each_depth():
    rows = [
        trained_row(depth=depth, aim="2 ticks", how=how, snn_correct=985 - lost - depth, spikes=n)
        for how, n in ((fine_tuning.CONVERTED, 12_000), (fine_tuning.FINE_TUNED, 4_000))
        for depth in (2, 4)
        for lost in (10, 20)
    ]
    converted, tuned = lines(fine_tuning.table(rows))
    names = ["2 ticks", "converted"]
    assert list(converted.values()) == [*names, "1.70", "1.90", "0.300 / 0.300"]
    assert list(tuned.values()) == ["", "fine-tuned", "1.70", "1.90", "0.100 / 0.100"]
    assert list(tuned)[2:4] == ["2", "4"]
    tuned = fine_tuning.table([trained_row(depth=2, aim="a", how="b")]).lines
    assert tuned[0][2] == "1.50"


def test_records_table_has_what_a_network_runs_on_and_does():
    row = trained_row(record="two_ticks", depth=4, network="mlp", ticks=2, weight_bits=3)
    row |= {"architecture": [784, 30, 30, 30, 10]}
    (line,) = lines(records.table([row]))
    cells = ["two ticks", "4", "3 x 30", "2", "3", "12.0", "0.300"]
    assert list(line.values())[:7] == cells and line["same label as ReLU"] == "964"
    assert line["test accuracy (95 % interval)"].startswith("97.00 % (95.")
    (line,) = lines(records.table([row | {"ticks": None, "weight_bits": None}]))
    assert (line["ticks"], line["bits"]) == ("-", "-")
    assert records.hidden({"architecture": [784, 30, 20, 10]}) == "30-20"


def equivalence_rows() -> list[dict]:
    keys = {"depth": 8, "network": "B1"}
    steps = [
        {"kind": "step", "step": step, "weight_difference": apart, "falling": falling}
        | {"gradients": [6.0, 1.0], "relu_gradients": [4.0, 2.0], "loss": 0.5, "relu_loss": 0.25}
        for step, apart, falling in ((1, 2e-16, 7), (50, 4e-9, 8), (1290, 3e-3, 9))
    ]
    end = {"kind": "end", "n_test": 1000, "relu_correct": 985, "snn_correct": 970}
    return [keys | row for row in (*steps, end | {"agreements": 964})]


def test_equivalence_table_has_the_first_and_the_last_step_and_the_end():
    (line,) = lines(training_equivalence.table(equivalence_rows()))
    cells = ["8", "B1", "2e-16", "3e-03", "964 of 1,000", "98.50 %", "97.00 %", "1.5", "7 / 9"]
    assert list(line.values()) == cells


def code_row(**changes) -> dict:
    row = {"depth": 2, "code": spike_codes.CLOCK, "bits": 3, "quantile": None, "steps": 24}
    row |= {"n_test": 1000, "relu_correct": 985, "snn_correct": 970, "n_validation": 1000}
    row |= {"validation_correct": 979, "relu_validation_correct": 980}
    row |= {"spikes": [151_000, 12_000, 8_000], "sums": 30_000_000, "gathered": 20_000_000}
    return row | {"products": 7_000_000, "updates": 400_000} | changes


def test_codes_table_has_the_cheapest_setting_that_is_as_right_as_relu():
    dear = code_row(bits=5, sums=90_000_000, validation_correct=985)
    wrong = code_row(bits=1, sums=1, validation_correct=978)
    (line,) = lines(spike_codes.table([dear, code_row(), wrong]))
    assert list(line.values())[:4] == ["2", spike_codes.CLOCK, "8 levels", "24"]
    assert line["test accuracy (95 % interval)"].startswith("97.00 %")
    names = ("input spikes", "hidden spikes", "sums", "products", "updates")
    assert [line[name] for name in names] == ["151", "20", "50.0", "7.0", "0.4"]
    # 0.9 x (30 + 20 + 0.4) + 3.7 x 7 = 71; and with 5 x (90 + 20 + 0.8) of memory, 625, in nJ
    assert line["energy (nJ)"] == "71 to 625"
    (line,) = lines(spike_codes.table([wrong]))
    assert list(line.values())[2:] == ["none", *8 * ["-"]]


def test_energy_reads_three_words_for_a_sum_one_if_gathered_and_two_for_an_update():
    assert energy.energy(1000, 0, 0, 0) == pytest.approx((0.9, 15.9))
    assert energy.energy(0, 1000, 0, 0) == pytest.approx((0.9, 5.9))
    assert energy.energy(0, 0, 1000, 0) == pytest.approx((3.7, 3.7))
    assert energy.energy(0, 0, 0, 1000) == pytest.approx((0.9, 10.9))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "8 levels"),
        ({"code": spike_codes.RATE}, "windows of 8 ticks"),
        ({"code": spike_codes.CURRENT}, "windows of 8 ticks"),
        ({"bits": None}, "calibrated windows"),
        ({"bits": None, "quantile": 1.0}, "largest activation"),
        ({"bits": None, "quantile": 0.98}, "98 % quantile"),
    ],
)
def test_settings_of_codes_are_named(changes, words):
    assert spike_codes.setting(code_row(**changes)) == words


def test_a_tenth_of_a_point_of_validation_accuracy_counts_as_equal_and_no_more():
    correct = {n: spike_codes.equal(code_row(validation_correct=n)) for n in (978, 979, 980, 990)}
    assert correct == {978: False, 979: True, 980: True, 990: True}


def peer_row(**changes) -> dict:
    row = code_row(tool="snnTorch", version="1.0.0", setting="95 %")
    return row | {"seconds": 6.0, "relu_seconds": 4.0, "megabytes": 17.3} | changes


def test_peers_table_has_each_tools_best_setting_and_all_of_this_project():
    slow, poor = peer_row(setting="slow", seconds=9.0), peer_row(setting="poor", seconds=1.0)
    poor |= {"validation_correct": 900}
    ours = [peer_row(tool=peers.HERE, setting=s, steps=None, version=None) for s in ("a", "b")]
    ours[1] |= {"megabytes": None, "validation_correct": 900}
    *here, other = lines(peers.table([*ours, slow, peer_row(), poor]))
    assert [line["setting"] for line in here] == ["a", "b"]
    assert [line["as right as ReLU"] for line in here] == ["yes", "no"]
    assert (here[0]["tool"], here[0]["steps"]) == (peers.HERE, "-")
    assert [line["memory (MB)"] for line in here] == ["17", "-"]
    assert (other["tool"], other["setting"], other["steps"]) == ("snnTorch 1.0.0", "95 %", "24")
    names = ("input spikes", "hidden spikes", "time / ReLU's", "memory (MB)")
    assert [other[name] for name in names] == ["151", "20", "1.5", "17"]


def test_direct_training_table_has_the_best_setting_on_validation_images_by_steps():
    keys = {"trainer": direct_training.QUANTISED, "inputs": direct_training.CURRENT, "steps": 4}
    rows = [
        code_row(**keys, setting=levels, validation_correct=right, snn_correct=test, seconds=150.0)
        for levels, right, test in ((2, 970, 990), (4, 975, 960), (8, 960, 995))
    ]
    (line,) = lines(direct_training.table(rows))
    assert (line["levels"], line["steps"], line["validation"]) == ("4", "4", "97.50")
    assert line["test accuracy (95 % interval)"].startswith("96.00 %")
    names = ("hidden spikes per image", "input spikes", "training (minutes)")
    assert [line[name] for name in names] == ["20", "151", "2.5"]
    other = [row | {"trainer": direct_training.FIRST_SPIKE, "inputs": None} for row in rows[:1]]
    (line,) = lines(direct_training.table(other))
    assert (line["levels"], line["inputs"]) == ("-", "pixels as first spikes")


def test_convolutional_table_names_each_setting_and_loses_what_is_wrong():
    rows = [
        trained_row(question=question, policy="automatic", engine=engine, dtype="float32")
        | {"latency": 12.34}
        for question, engine in (
            ("exact", "event-driven"),
            ("windows", "closed-form"),
            ("clock", "clock:3:half-tick"),
            ("jitter", "jitter:0.05"),
        )
    ]
    table = convolutional.table(rows)
    found = [list(line.values())[:2] for line in lines(table)]
    assert found == [
        ["engine", "event-driven, float32"],
        ["windows", "automatic"],
        ["ticks", "8 ticks per window"],
        ["jitter", "0.05 windows"],
    ]
    (*_, line) = lines(table)
    assert line["test accuracy (95 % interval)"].startswith("97.00 %")
    names = ("drop (points)", "same label as ReLU", "spikes per neuron", "latency")
    assert [line[name] for name in names] == ["1.50", "964", "0.300", "12.3"]
    assert "40 hidden neurons; ReLU 98.50 %" in table.title


def test_witness_table_has_the_largest_of_the_images_in_steps_and_in_windows():
    keys = {"depth": 3, "steps_per_window": 64}
    rows = [
        keys
        | {"image": 0, "same_label": True, "spikes": [500, 600], "unmatched": [1, 2]}
        | {"differences": [1 / 128, 1 / 64], "logit_error": 1e-3},
        keys
        | {"image": 1, "same_label": False, "spikes": [700, 800], "unmatched": [4, 8]}
        | {"differences": [1 / 32, 1 / 256], "logit_error": 3e-3},
    ]
    (line,) = lines(witness.table(rows))
    cells = ["3", "64", "2.00", "1.00", "2.00", "3.1e-02", "15 of 2,600", "3.0e-03", "1 of 2"]
    assert list(line.values()) == cells


def test_traces_table_has_each_panels_neuron_and_times():
    row = {"layer": 2, "neuron": 7, "neuron_model": "alpha", "guard": False, "threshold": 6.5}
    row |= {"t_min": 3.25, "t_max": 11.125, "spike": 9.75}
    fires, silent = lines(membrane_traces.table([row, row | {"spike": None, "guard": True}]))
    cells = ["2", "7", "alpha", "no", "6.500", "3.250", "9.750", "11.125"]
    assert list(fires.values()) == cells
    assert (silent["spike"], silent["guard"]) == ("silent", "yes")


def test_causes_table_has_the_mean_of_the_seeds_below_its_cause():
    rows = []
    for depth in (2, 4):
        for seed in (0, 1):
            keys = {"depth": depth, "training_seed": seed, "cause": "recipe", "n_test": 1000}
            for variant, lost in (("bias not rescaled", 40), ("bias rescaled", 3)):
                correct = {"relu_correct": 980, "snn_correct": 980 - lost - 10 * seed - depth}
                rows.append(keys | {"variant": variant} | correct)
    table = degradation_causes.table(rows)
    found = {line[0]: line[1:] for line in table.lines}
    assert list(table.header) == ["points lost at depth", "2", "4"]
    assert found[degradation_causes.OWN] == ["4.70", "4.90"]
    assert found["\N{RIGHTWARDS ARROW} bias rescaled"] == ["1.00", "1.20"]
    assert found[degradation_causes.EARLY] == ["-", "-"]


def test_published_table_has_the_mean_loss_of_each_mended_slip_on_all_images():
    counts = {"n_test": 1000, "relu_correct": 960}
    rows = [
        {"depth": 2, "variant": variant, "images": images, "batch_size": batch, **counts}
        | {"snn_correct": 960 - 10 * n - seed - (100 if batch == 64 else 0) - more}
        for n, variant in enumerate(published_loss.MENDED.values(), start=1)
        for images, more in ((published_loss.ALL, 0), (published_loss.FIRST, 200))
        for batch in (128, 64)
        for seed in (0, 4)
    ]
    found = {line[0]: line[1] for line in published_loss.table(rows).lines}
    cells = [found[name] for name in published_loss.MENDED]
    assert cells == ["1.20", "2.20", "3.20", "4.20", "5.20", "6.20"]
    assert found["\N{RIGHTWARDS ARROW} 2 runs, batches of 128"] == "21.0 / 21.2 / 21.4"


def test_spread_and_sides_order_their_values():
    assert published_loss.spread([3.0, 1.0, 8.0]) == "1.0 / 3.0 / 8.0"
    assert published_loss.sides([1.0, 2.0, 2.0 + 1e-9, 5.0, 6.0, 7.0], 2.0) == (3, 2, 1)
