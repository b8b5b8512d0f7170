from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medprism.core.errors import InternalError
from medprism.core.randomness import counter_rng
from medprism.evaluation.intervals import (
    Score,
    macro_interval,
    pooled_interval,
    seeded_interval,
    seeded_pooled_interval,
)
from medprism.metrics.bootstrap import bootstrap_mean


def random_scores(seed: int) -> list[Score]:
    rng = counter_rng(seed, "scores")
    return [
        Score(
            f"set{rng.integers(3)}",
            f"class{rng.integers(4)}",
            f"p{rng.integers(6)}",
            float(rng.random()),
        )
        for _ in range(70)
    ]


def slow_macro(scores: list[Score], *, over_sets: bool) -> float:
    by_set: dict[str, dict[str, list[float]]] = {}
    for one in scores:
        by_set.setdefault(one.dataset, {}).setdefault(one.concept, []).append(one.value)
    means = [[sum(v) / len(v) for v in classes.values()] for classes in by_set.values()]
    if over_sets:
        return sum(sum(m) / len(m) for m in means) / len(means)
    flat = [mean for of_set in means for mean in of_set]
    return sum(flat) / len(flat)


@pytest.mark.parametrize("over_sets", [False, True])
def test_averages_equal_a_slow_loop(over_sets: bool) -> None:
    for seed in range(8):
        scores = random_scores(seed)
        found = macro_interval(scores, over_sets=over_sets)
        assert found.mean == pytest.approx(slow_macro(scores, over_sets=over_sets))
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.mean <= found.high


@pytest.mark.parametrize("over_sets", [False, True])
def test_intervals_equal_a_slow_bootstrap(over_sets: bool) -> None:
    """Other draws, the same spread: literal resampling of patients within each set."""
    scores = random_scores(1)
    rng = counter_rng(9, "literal")
    means = []
    for _ in range(1500):
        drawn: list[Score] = []
        for dataset in sorted({s.dataset for s in scores}):
            own = [s for s in scores if s.dataset == dataset]
            patients = sorted({s.patient for s in own})
            for index in rng.integers(len(patients), size=len(patients)):
                drawn += [s for s in own if s.patient == patients[int(index)]]
        means.append(slow_macro(drawn, over_sets=over_sets))
    low, high = np.quantile(means, (0.025, 0.975))
    found = macro_interval(scores, over_sets=over_sets, resamples=3000)
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_one_class_of_one_set_is_the_plain_bootstrap() -> None:
    rng = counter_rng(2, "plain")
    values = rng.random(60).tolist()
    patients = [f"p{i % 11}" for i in range(60)]
    scores = [Score("s", "c", p, v) for p, v in zip(patients, values, strict=True)]
    plain = bootstrap_mean(values, patients, seed=5, resamples=4000)
    found = macro_interval(scores, resamples=4000)
    assert found.mean == pytest.approx(plain.mean)
    assert found.low == pytest.approx(plain.low, abs=0.01)
    assert found.high == pytest.approx(plain.high, abs=0.01)


def test_equal_values_leave_no_doubt_whatever_the_classes() -> None:
    scores = [Score("s", f"c{i % 3}", f"p{i % 7}", 0.25) for i in range(20)]
    found = macro_interval(scores)
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


def test_the_same_scores_give_the_same_interval_and_one_patient_gives_none() -> None:
    assert macro_interval(random_scores(3)) == macro_interval(random_scores(3))
    alone = macro_interval([Score("s", "a", "p", 0.25), Score("s", "b", "p", 0.75)])
    assert (alone.mean, alone.low, alone.high) == (0.5, None, None)
    with pytest.raises(InternalError, match="at least one value"):
        macro_interval([])


def _share(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _random_groups() -> list[tuple[np.ndarray, list[str]]]:
    rng = counter_rng(4, "groups")
    groups = []
    for images in (9, 14):
        whole = rng.integers(20, 90, images).astype(np.float64)
        counts = np.stack([np.floor(whole * rng.random(images)), whole], axis=1)
        groups.append((counts, [f"p{rng.integers(5)}" for _ in range(images)]))
    return groups


def test_pooled_figures_equal_a_slow_bootstrap() -> None:
    groups = _random_groups()
    found = pooled_interval(groups, _share)
    sums = [counts.sum(0) for counts, _ in groups]
    assert found.mean == pytest.approx(np.mean([one[0] / one[1] for one in sums]))
    rng, means = counter_rng(9, "literal"), []
    for _ in range(1500):
        shares = []
        for counts, patients in groups:
            names = sorted(set(patients))
            drawn = [names[int(i)] for i in rng.integers(len(names), size=len(names))]
            rows = [counts[k] for name in drawn for k, own in enumerate(patients) if own == name]
            shares.append(sum(r[0] for r in rows) / sum(r[1] for r in rows))
        means.append(np.mean(shares))
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.02)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.02)


def test_a_pooled_figure_of_one_patient_has_no_bounds() -> None:
    counts = np.array([[1.0, 2.0], [0.0, 6.0]])
    found = pooled_interval([(counts, ["p", "p"])], _share)
    assert (found.mean, found.low, found.high) == (0.125, None, None)
    with pytest.raises(InternalError, match="at least one image"):
        pooled_interval([(np.zeros((0, 2)), [])], _share)


def test_runs_and_patients_are_resampled_together() -> None:
    runs = [random_scores(1), [replace(one, value=one.value / 2) for one in random_scores(1)]]
    found = seeded_interval(runs, seed=3)
    assert seeded_interval(runs[:1], seed=3) == macro_interval(runs[0], seed=3)
    single = [macro_interval(run, seed=3) for run in runs]
    assert found.mean == pytest.approx(np.mean([one.mean for one in single]))
    # With two runs that differ, either may be drawn alone: as wide as both intervals together.
    assert found.low is not None and found.high is not None
    assert found.low < min(one.low or 0 for one in single) + 0.05
    assert found.high > max(one.high or 1 for one in single) - 0.05
    with pytest.raises(InternalError, match="at least one run"):
        seeded_interval([])


def test_pooled_figures_of_runs_are_as_wide_as_all_runs_together() -> None:
    groups = _random_groups()
    halved = [(counts * (0.5, 1.0), patients) for counts, patients in groups]
    found = seeded_pooled_interval([groups, halved], _share, seed=3)
    single = [pooled_interval(one, _share, seed=3) for one in (groups, halved)]
    assert seeded_pooled_interval([groups], _share, seed=3) == single[0]
    assert found.mean == pytest.approx(np.mean([one.mean for one in single]))
    assert found.low is not None and found.high is not None
    assert found.low < min(one.low or 0 for one in single) + 0.05
    assert found.high > max(one.high or 1 for one in single) - 0.05
    with pytest.raises(InternalError, match="at least one run"):
        seeded_pooled_interval([], _share)
