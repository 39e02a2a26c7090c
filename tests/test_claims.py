"""That the numbers in the prose of the committed pages are in the committed results.

Not part of ``make test``: see test_pages.
"""

import numpy as np
import pytest
from committed import ALL, BOTH, DEPTHS, lost, means, rows
from scipy.stats import spearmanr

from ttfs.metrics import mcnemar_p, percent, percent_interval, points_lost
from ttfs.tuning import SIGNIFICANCE

pytestmark = pytest.mark.pages

ALL_IMAGES, FIRST_IMAGES = "all", "first 1,000"
MISMATCH = {"cause": "preprocessing", "variant": "ReLU on raw pixels"}
EARLY = {"cause": "premature", "variant": "no guard"}


def listed(values, digits: int = 1) -> str:
    """Return numbers with slashes between them; never -0.0."""
    return " / ".join(f"{round(value, digits) + 0.0:.{digits}f}" for value in values)


def spread(values, digits: int = 1) -> str:
    """Return the smallest and the largest of several numbers."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def recipe():
    return (
        f"Alone, this costs {listed(means(cause='recipe', variant='bias not rescaled'), 2)} points"
    )


def rescaled():
    keys = {"cause": "recipe", "variant": "bias rescaled"}
    changed = [
        max(
            row["n_test"] - row["agreements"] for row in rows("degradation_causes", depth=d, **keys)
        )
        for d in DEPTHS
    ]
    assert changed[1:] == [0, 0, 0]
    return (
        f"With the biases rescaled as well, not one of the 10,000 labels changes at 4, 6 and 8 "
        f"layers and any seed; at 2 layers, at most {changed[0]} do"
    )


def mismatch():
    accuracy = [
        np.mean(
            [
                100 * row["snn_correct"] / row["n_test"]
                for row in rows("degradation_causes", depth=depth, **MISMATCH)
            ]
        )
        for depth in DEPTHS
    ]
    return f"ours falls to {listed(accuracy)} % on raw pixels"


def both():
    return f"Together they lose {listed(means(**BOTH), 2)} points"


def low_precision():
    float16, bfloat16 = (
        means(cause="precision", variant="absolute", dtype=dtype)[-1]
        for dtype in ("float16", "bfloat16")
    )
    worst = max(
        lost("degradation_causes", cause="precision", variant="absolute", dtype="bfloat16", depth=8)
    )
    return (
        f"in float16 it loses {float16:.2f} points at 8 layers, in bfloat16 {bfloat16:.2f}, "
        f"in one seed {worst:.2f}"
    )


def window_of_15():
    (row,) = rows("degradation_causes", cause="short windows", t_max=15, depth=8, training_seed=0)
    cut = sum(row["saturations"])
    return f"it cuts {cut:,} activations of the 8-layer network, and costs {points_lost(row):.2f}"


def premature():
    found = rows("degradation_causes", **EARLY)
    cases = [np.dot(row["neurons"], row["images"]) for row in found]
    shares = [percent(sum(row["premature"]), n) for row, n in zip(found, cases, strict=True)]
    return (
        f"does so in up to {max(shares):.1f} % of all cases, and that costs "
        f"{listed(means(**EARLY), 0)} points at 2 / 4 / 6 / 8 layers"
    )


def below_rest():
    found = rows("degradation_causes", **EARLY)
    below = sum(np.dot(row["thresholds_below_rest"], row["images"]) for row in found)
    spikes = sum(sum(row["premature"]) for row in found)
    return f"{percent(below, spikes):.0f} % of these spikes come from neurons whose threshold"


def growth():
    found = rows("degradation_causes", cause="window growth", variant="window", dtype="float32")
    factors = [b / a for r in found for a, b in zip(r["windows"], r["windows"][1:], strict=False)]
    longest = max(row["windows"][-1] for row in found if row["depth"] == 8)
    safe32 = means(cause="window growth", variant="absolute", dtype="float32")[-1]
    return (
        f"They grow {min(factors):.0f}- to {max(factors):.0f}-fold per layer, up to "
        f"{longest / 1e9:.1f} billion units at 8 layers, and absolute float32 times then cost "
        f"{safe32:.0f} points"
    )


def literal():
    points = listed(means(cause="formula", variant="literal"))
    return f"used literally, with t_max = 15, it costs {points} points"


def single_layer():
    found = rows("exactness", layer=1, dtype="float64", engine="event-driven", trained=True)
    ulps = spread([row["error_ulp"] for row in found], 0)
    assert 2.47e-9 / np.spacing(15.0) == pytest.approx(1.4e6, rel=0.01) and len(found) == 4
    return (
        f"1.4 million float64 ulps at t = 15; here, spike by spike, the first layers are off "
        f"by {ulps} ulps of their windows"
    )


def silent():
    found = rows("spike_time_distributions", depth=8)
    silent, spikes = (sum(row[k] for row in found) for k in ("silent", "spikes"))
    return f"{percent(silent, silent + spikes):.0f} % of the neurons of the 8-layer network"


def thousand_images():
    low, high = percent_interval(980, 1000)
    return f"a 95 % interval from {low:.1f} to {high:.1f} %"


def plain_mcnemar():
    depths = []
    for depth in DEPTHS:
        allowed = [
            row
            for row in rows("adaptive_windows", depth=depth)
            if row["policy"].startswith("quantile") and row["validation_mcnemar_p"] >= 0.05
        ]
        if min(allowed, key=lambda row: row["latency"])["mcnemar_p"] < 0.05:
            depths.append(str(depth))
    return (
        f"At {', '.join(depths[:-1])} and {depths[-1]} layers, the shortest windows that it allows"
    )


def windows_of_three():
    found = [rows("adaptive_windows", depth=depth, policy="fixed:3")[0] for depth in (6, 8)]
    assert all(row["validation_agreements"] == row["n_validation"] for row in found)
    cut = max(
        percent(cut, spikes)
        for row in found
        for cut, spikes in zip(row["saturations"], row["spikes"], strict=True)
    )
    latency = " / ".join(f"{row['latency']:g}" for row in found)
    return (
        f"lose {listed(map(points_lost, found), 2)} points on the test images and take {latency} "
        f"input windows, although they cut up to {cut:.0f} % of a layer's spikes"
    )


def automatic_rule():
    (n,) = {row["n_validation"] for row in rows("adaptive_windows", policy="automatic")}
    most = max(k for k in range(20) if mcnemar_p(k, 0) >= SIGNIFICANCE)
    return (
        f"changes at most {most} labels of the {n:,} validation images: so few that they would "
        f"be insignificant (McNemar, p = {mcnemar_p(most, 0):.2f})"
    )


def spikes_in_the_last_third():
    found = rows("spike_time_distributions")
    late = [sum(row["spikes_per_bin"][27:]) / row["spikes"] for row in found]  # 27 of 40 bins
    assert min(late) > 0.97
    return "nearly all spikes lie in the last third of their windows"


def factor():
    (row,) = rows("layer_normalisation", kind="sample", depth=8, layer=8)
    return f"at 8 layers from {row['factor'][0]:.0f} to {row['factor'][2]:.0f}"


def one_bit():
    values = [
        lost("time_resolution", depth=d, policy="best quantile per layer", bits=1)[0]
        for d in DEPTHS
    ]
    return f"Two ticks per window cost {listed(values, 2)} points"


def early_answers():
    found = rows("early_decision", depth=8, policy="automatic")
    (half,) = (row for row in found if row["fraction"] == 0.5)
    right = percent(half["promised_correct"], half["n_test"])
    certain = next(row["fraction"] for row in found if row["certain"] >= row["n_test"] / 2)
    before = max(row["fraction"] for row in found if row["certain"] < row["n_test"] / 2)
    keys = {"depth": 8, "policy": "calibrated", "fraction": 0.5}
    (long,) = rows("early_decision", **keys)
    return (
        f"{right:.0f} % of the promised answers at 8 layers are right when half of the last "
        f"window has passed, but certainty comes late: half of the answers are certain only "
        f"between {100 * before:.0f} and {100 * certain:.0f} % of it. In calibrated windows, "
        f"{percent(long['promised_correct'], long['n_test']):.0f} % are right at half the window"
    )


def float16_exactness():
    worst = {
        dtype: min(row["agreements"] for row in rows("exactness", output=True, dtype=dtype))
        for dtype in ("float16", "bfloat16")
    }
    return f"at worst {worst['float16']:,} labels in float16 and {worst['bfloat16']:,} in bfloat16"


def local_bounds():
    found = [
        row["local_bound"] / row["local_error"]
        for row in rows("exactness", dtype="float32")
        if row["local_error"]
    ]
    return f"in float32 it is {min(found):.0f} to {max(found):.0f} times the largest such error"


def accumulated_bounds():
    keys = {"output": True, "dtype": "float32", "engine": "closed-form"}
    (eight,), (deep,) = (rows("exactness", depth=depth, **keys) for depth in (8, 64))
    none = {(r["dtype"], r["engine"]) for r in rows("exactness") if r["bound"] is None}
    assert none == {("bfloat16", "event-driven")}
    return (
        f"float32 logits in window-relative time may be off by {eight['bound']:.0f} (and are by "
        f"{eight['largest_error']:.0e}), at depth 64 by {deep['bound']:.0e}"
    )


def no_label_in_float32():
    changed = [
        row["n_test"] - row["agreements"]
        for row in rows("degradation_causes", cause="precision", dtype="float32")
    ]
    return f"B1 in float32 changes {max(changed)} labels at any depth"


def shorter_windows():
    long, short = (
        rows("adaptive_windows", depth=8, policy=policy)[0]
        for policy in ("calibrated", "automatic")
    )
    factors = np.divide(long["windows"], short["windows"])
    changed = short["n_test"] - short["agreements"]
    return f"{spread(factors, 0)} times shorter at 8 layers, for {changed} changed labels"


def two_ticks():
    (points,) = lost("time_resolution", depth=8, policy="best quantile per layer", bits=1)
    return f"two ticks per window cost {points:.2f} points at 8 layers"


def strong_jitter():
    keys = {"depth": 8, "policy": "automatic", "fault": "jitter", "level": 0.1}
    return f"costs {np.mean(lost('robustness', **keys)):.2f} points at 8 layers, with automatic"


def half_the_window():
    (row,) = rows("early_decision", depth=8, policy="automatic", fraction=0.5)
    right = percent(row["promised_correct"], row["n_test"])
    return f"at half the last window, {right:.0f} % of the answers at 8 layers are right"


def spread_of_the_seeds():
    deviations = [
        np.std([percent(row["relu_correct"], row["n_test"]) for row in found], ddof=1)
        for found in (rows("training_seeds", depth=depth) for depth in DEPTHS)
    ]
    return f"a standard deviation of {spread(deviations, 2)} points"


def runs(depth: int, batch_size: int = 128, variant: str = "published", images: str = ALL_IMAGES):
    """Return the rows of a variant of the published loss, a row a run."""
    keys = {"depth": depth, "batch_size": batch_size, "variant": variant, "images": images}
    return rows("published_loss", **keys)


def above(measured, batch_size: int = 128) -> str:
    """Return how many runs lie above the published number at each depth, with slashes between."""
    counts = []
    for depth in DEPTHS:
        (published,) = map(measured, rows("published_loss", depth=depth, variant="reported"))
        values = map(measured, runs(depth, batch_size, images=FIRST_IMAGES))
        counts.append(sum(value > published + 1e-6 for value in values))
    return " / ".join(map(str, counts))


def runs_above():
    assert {len(runs(depth)) for depth in DEPTHS} == {20}
    assert {len(runs(depth, 64)) for depth in DEPTHS} == {5}
    return (
        f"of the 20 runs in batches of 128, {above(points_lost)} lose more than was published, "
        f"and {above(relu_accuracy)} have a higher ReLU accuracy on raw pixels"
    )


def relu_accuracy(row: dict) -> float:
    return percent(row["relu_correct"], row["n_test"])


def inside():
    outside = []
    for name, measured in (("loss", points_lost), ("ReLU accuracy", relu_accuracy)):
        for depth in DEPTHS:
            (published,) = map(measured, rows("published_loss", depth=depth, variant="reported"))
            values = [measured(row) for row in runs(depth, images=FIRST_IMAGES)]
            if published > max(values) + 1e-6:
                outside.append(f"the published {name} at {depth} layers lies above all runs")
            assert published > min(values)
    assert len(outside) == 1
    return f"So {outside[0]}; the other {8 - len(outside)} of its 8 numbers lie among them"


def size_reproduced():
    values = [[points_lost(r) for r in runs(d, images=FIRST_IMAGES)] for d in DEPTHS]
    return f"{' / '.join(spread(found) for found in values)} points in 20 runs per depth"


def relu_range():
    values = [[relu_accuracy(r) for r in runs(d, images=FIRST_IMAGES)] for d in DEPTHS]
    return f"{' / '.join(spread(found) for found in values)} %"


def batches_of_64():
    values = [points_lost(row) for row in runs(8, 64, images=FIRST_IMAGES)]
    return f"lose {spread(values, 0)} points at 8 layers"


def in_size():
    values = [points_lost(row) for row in runs(8, images=FIRST_IMAGES)]
    return f"lose {spread(values)} points at 8 layers; 4.8 were published"


def bias_factors():
    medians = [np.ravel([row["bias_factors"][1:] for row in runs(8, b)]) for b in (128, 64)]
    return (
        f"weighs {spread(medians[0])} times too much at 8 layers, in batches of 64 "
        f"{spread(medians[1])}"
    )


def one_factor():
    once = np.mean(list(map(points_lost, runs(8, variant="one factor a layer"))))
    usual = np.mean(list(map(points_lost, runs(8))))
    assert once < 0
    return f"lose nothing at 8 layers (they win {-once:.2f} points) instead of {usual:.2f}"


def layer_by_layer():
    lost_to = {
        layer: np.mean(
            [points_lost(r) for r in runs(8, variant="first biases") if r["layer"] == layer]
        )
        for layer in range(2, 9)
    }
    alone = [
        np.mean([points_lost(r) for r in runs(8, variant="one bias") if r["layer"] == layer])
        for layer in range(2, 9)
    ]
    assert np.all(np.diff([0, *lost_to.values()]) > 0)
    return (
        f"the biases up to layer 2 / 4 / 6 / 8 lose "
        f"{listed([lost_to[n] for n in (2, 4, 6, 8)], 2)} points of the 8-layer networks; "
        f"each alone, those from layer 4 on lose {spread(alone[2:], 2)}"
    )


def one_direction():
    shares = [
        percent(
            *(
                np.sum([r["changed_to"] for r in runs(8, b)], axis=0)[8:9].sum(),
                np.sum([r["changed_to"] for r in runs(8, b)]),
            )
        )
        for b in (128, 64)
    ]
    common = np.median([row["common_push"] for row in runs(8)])
    return (
        f"{shares[0]:.0f} % of the labels that change become an eight, in batches of 64 "
        f"{shares[1]:.0f} %; {100 * common:.0f} % of the push is the same for all images"
    )


def pushes_and_points():
    found = [row for depth in DEPTHS for b in (128, 64) for row in runs(depth, b)]
    pairs = [(row["push"], points_lost(row)) for row in found]
    own = [(row["push"], points_lost(row)) for row in runs(8)]
    return (
        f"rank correlation {spearmanr(*zip(*pairs, strict=True)).statistic:.2f} over all "
        f"{len(found)} runs, {spearmanr(*zip(*own, strict=True)).statistic:.2f} over the 20 of "
        f"8 layers"
    )


def slips_alone():
    pixels = [
        np.mean(list(map(points_lost, runs(d, variant="ReLU on raw pixels")))) for d in DEPTHS
    ]
    bias = [np.mean(list(map(points_lost, runs(d, variant="pixels mended")))) for d in DEPTHS]
    changed = {
        variant: [
            max(r["n_test"] - r["agreements"] for b in (128, 64) for r in runs(d, b, variant))
            for d in DEPTHS
        ]
        for variant in ("biases mended", "both mended", "this conversion")
    }
    assert changed["this conversion"] == [0, 0, 0, 0]
    assert changed["biases mended"][1:] == changed["both mended"][1:] == [0, 0, 0]
    most = max(changed["biases mended"][0], changed["both mended"][0])
    return (
        f"Raw pixels alone cost the ReLU networks {listed(pixels)} points of their 98 %, biases "
        f"alone {listed(bias)}, on the networks made to expect raw pixels. With the biases "
        f"rescaled, the recipe gives the ReLU network's label on all 10,000 images, at 4, 6 and 8 "
        f"layers and every seed; at 2 layers on all but at most {most}"
    )


CLAIMS = [
    recipe,
    rescaled,
    mismatch,
    both,
    low_precision,
    window_of_15,
    premature,
    below_rest,
    growth,
    literal,
    single_layer,
    silent,
    thousand_images,
    plain_mcnemar,
    windows_of_three,
    automatic_rule,
    spikes_in_the_last_third,
    factor,
    one_bit,
    early_answers,
    float16_exactness,
    local_bounds,
    accumulated_bounds,
    no_label_in_float32,
    shorter_windows,
    two_ticks,
    strong_jitter,
    half_the_window,
    spread_of_the_seeds,
    runs_above,
    inside,
    size_reproduced,
    relu_range,
    batches_of_64,
    in_size,
    bias_factors,
    one_factor,
    layer_by_layer,
    one_direction,
    pushes_and_points,
    slips_alone,
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_number_in_the_prose_is_in_the_results(claim):
    assert claim() in ALL
