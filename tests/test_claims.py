"""That the numbers in the prose of the committed pages are in the committed results.

Not part of ``make test``: see test_pages.
"""

import numpy as np
import pytest
from committed import ALL, BOTH, DEPTHS, lost, means, rows

from ttfs.metrics import mcnemar_p, percent, percent_interval, points_lost
from ttfs.tuning import SIGNIFICANCE

pytestmark = pytest.mark.pages

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


def both_in_short():
    return f"lose {means(**BOTH)[-1]:.0f} points at 8 layers"


def both_at_8_layers():
    values = sorted(lost("degradation_causes", depth=8, **BOTH))
    return f"the three seeds lose {values[0]:.0f}, {values[1]:.0f} and {values[2]:.0f} points"


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


CLAIMS = [
    recipe,
    mismatch,
    both,
    both_in_short,
    both_at_8_layers,
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
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_number_in_the_prose_is_in_the_results(claim):
    assert claim() in ALL
