"""Metrics for the tests of the report: made by hand from a few drawn numbers, without any evaluation."""

from dataclasses import replace

import numpy as np

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.decisions.shift import DETECTION_NUMBERS, detection_score
from ensemble_uq_llm.evaluation.files.metrics_json import write_metrics
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.quality.truth import TRUTH_NUMBERS
from ensemble_uq_llm.evaluation.records import (
    BesideConstant,
    BestScore,
    ByClass,
    CalibrationSet,
    Conformal,
    ConformalSets,
    Confusion,
    ConstantAnswers,
    Detection,
    ExamplesToRead,
    FittedTemperature,
    Floor,
    Gain,
    GroupCoverage,
    Guarantee,
    Histogram,
    HistogramGroup,
    Mean,
    MemberMetrics,
    MetricEstimate,
    OfClass,
    Pair,
    PairwiseNumber,
    Promise,
    Reliability,
    ReliabilityBin,
    RiskCoverageCurve,
    RocCurve,
    ScatterGroup,
    SelectiveScore,
    SetMetrics,
    Shift,
    SingleExample,
    SizeCurve,
    SubsetSummary,
    TemperatureEffect,
    TemperatureScaling,
    UncertaintyScatter,
    Vote,
)
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from recording import recorded

BINS = 28
SIZES = (1, 2, 3, 5, 7, 10, 14, 20)
SPLIT = CalibrationSet(name="calibration", n=200)


def estimate(value, spread=0.02):
    return Estimate(value=value, ci95=(value - spread, value + spread))


def metric_estimate(value, spread=0.02, *, floor=None):
    return MetricEstimate(value=value, ci95=(value - spread, value + spread), noise_floor=floor)


def comparison(value, p_value=0.031):
    return Comparison(value=value, ci95=(value - 0.01, value + 0.01), p_value=p_value)


def main_metrics(
    name="validation", *, n=900, members=5, classes=2, labelled=None, calibrated=True, truth=False, seed=0
):
    """The metrics of a set in distribution, with every block that its kind has.

    `members`: how many, of seeds from 42 on; or who they are.
    """
    rng = np.random.default_rng(seed)
    labelled = n if labelled is None else labelled
    ids = trained(range(42, 42 + members)) if isinstance(members, int) else members
    blocks = {"uncertainty": _averages(rng), "histograms": _histograms(rng, n, labelled)}
    if labelled:
        blocks |= _quality(rng, ids, classes) | _labelled_blocks(rng, labelled) | _class_blocks(rng, labelled, classes)
    if labelled and len(ids) > 1:
        blocks |= _member_blocks(ids)
    if len(ids) > 1:
        blocks["scatter"] = _scatter(rng, n, labelled)
    if labelled and calibrated:
        blocks |= _calibrated_blocks(rng, ids, classes)
    if truth:
        blocks["truth"] = {each.name: estimate(rng.uniform(0.1, 0.9)) for each in TRUTH_NUMBERS}
    return SetMetrics(
        name=name,
        role="main",
        n=n,
        labelled=labelled,
        members=len(ids),
        classes=classes,
        member_ids=ids,
        draws=1000,
        examples=ExamplesToRead(
            most_uncertain=tuple(_example(i, ids, classes, labelled=i < labelled) for i in range(min(n, 20))),
            most_confidently_wrong=tuple(_example(i, ids, classes, wrong=True) for i in range(min(labelled, 20))),
        ),
        **blocks,
    )


def shifted_metrics(name, *, reference="validation", n=300, labelled=300, members=5, classes=2, seed=1):
    """The metrics of a shifted set."""
    metrics = main_metrics(name, n=n, labelled=labelled, members=members, classes=classes, seed=seed)
    rng = np.random.default_rng(seed)
    areas = {score.name: estimate(rng.uniform(0.6, 0.95)) for score in SCORES}
    chosen = detection_score(members)
    numbers = {
        each.name: {score.name: estimate(rng.uniform(0.1, 0.9)) for score in SCORES} for each in DETECTION_NUMBERS
    }
    shift = Shift(
        reference=reference,
        numbers=numbers | {"auroc": areas},
        detection=Detection(score=chosen, auroc=areas[chosen], p_value=0.001, p_holm=0.002, seen="less_sure"),
        change={metric: comparison(rng.uniform(-0.2, 0.2)) for metric in metrics.ensemble},
        roc={score.name: _roc(0.2 + 0.05 * i) for i, score in enumerate(SCORES)},
    )
    return replace(metrics, examples=None, scatter=None, role="shifted", reference=reference, shift=shift)


def write_run(root, *sets):
    """Write the metrics of one evaluation into a run folder and return it; the main set names the others."""
    folder = RunFolder(root)
    others = tuple(metrics.name for metrics in sets if metrics.role != "main")
    for each in sets:
        metrics = replace(each, other_sets=others) if each.role == "main" else each
        write_metrics(folder.metrics(metrics.name), metrics)
    if folder.manifest.exists():
        recorded(folder)
    return folder


def metric_names(classes, *, headline=False):
    return [m.name for m in METRICS if m.classes in (None, classes) and (m.headline or not headline)]


def _averages(rng):
    names = ["entropy", "expected_entropy", "mutual_information", "variance", *(score.name for score in SCORES)]
    return {f"average_{name}": rng.uniform(0, 0.4) for name in names} | {"mean_confidence": 0.873}


def _histograms(rng, n, labelled):
    wrong = labelled // 5
    kinds = {"correct": labelled - wrong, "wrong": wrong, "unlabelled": n - labelled, "all": n}
    axes = {"entropy": (0.0, float(np.log(2))), "mutual_information": (1e-5, 0.05), "variance": (1e-6, 0.02)}
    return {
        measure: Histogram(
            lower=lower,
            upper=upper,
            groups=tuple(_group(rng, kind, count, lower, upper) for kind, count in kinds.items() if count),
        )
        for measure, (lower, upper) in axes.items()
    }


def _group(rng, kind, n, lower, upper):
    shares, below = rng.dirichlet(np.linspace(3, 0.1, BINS)), 0.125 if lower else 0.0
    return HistogramGroup(
        kind=kind,
        n=n,
        mean=upper * rng.uniform(0.2, 0.6),
        median=upper * rng.uniform(0.1, 0.2),
        shares=tuple((shares * (1 - below)).tolist()),
        below=below,
    )


def _scatter(rng, n, labelled):
    wrong = labelled // 5
    kinds = {"correct": labelled - wrong, "wrong": wrong, "unlabelled": n - labelled}
    return UncertaintyScatter(
        groups=tuple(
            ScatterGroup(
                kind=kind,
                n=count,
                entropy=tuple(rng.uniform(0, 0.69, min(count, 100)).tolist()),
                mutual_information=tuple((10 ** rng.uniform(-6, -1.3, min(count, 100))).tolist()),
            )
            for kind, count in kinds.items()
            if count
        )
    )


def _roc(corner):
    return RocCurve(false_positive_rate=(0.0, corner, 1.0), true_positive_rate=(0.0, 0.9, 1.0))


def _quality(rng, ids, classes):
    ensemble = {}
    for metric in METRICS:
        if metric.classes in (None, classes):
            floor = Floor(mean=0.009, p95=0.0153, p_value=rng.uniform(0, 0.1)) if metric.calibration else None
            ensemble[metric.name] = metric_estimate(rng.uniform(0.02, 0.95), floor=floor)
    headline = metric_names(classes, headline=True)
    return {
        "ensemble": ensemble,
        "members_mean": {name: Mean(value=rng.uniform(0.02, 0.9)) for name in headline},
        "per_member": tuple(
            MemberMetrics(member=member, metrics={name: estimate(rng.uniform(0.02, 0.9)) for name in headline})
            for member in ids
        ),
    }


def _labelled_blocks(rng, labelled):
    coverage = np.linspace(1 / labelled, 1, min(labelled, 200))
    scores = {
        score.name: SelectiveScore(
            numbers={each.name: estimate(rng.uniform(0.01, 0.9)) for each in SELECTIVE_NUMBERS},
            curve=RiskCoverageCurve(
                coverage=tuple(coverage.tolist()),
                risk=tuple((0.2 * coverage ** (1 + i % 4)).tolist()),
                low=tuple((0.1 * coverage ** (1 + i % 4)).tolist()),
                high=tuple((0.3 * coverage ** (1 + i % 4)).tolist()),
            ),
            roc=_roc(0.2 + 0.05 * i) if labelled > 1 else None,
        )
        for i, score in enumerate(SCORES)
    }
    return {
        "reliability": _reliability(labelled),
        "selective": scores,
        "best_score": BestScore(
            best="mutual_information",
            baseline=BASELINE,
            criterion="aurc",
            gain=comparison(0.004),
            p_value_of_choice=0.021,
            compared=len(SCORES),
            really_better=True,
            answer="Use mutual information.",
        ),
    }


def _class_blocks(rng, labelled, classes):
    """A third of every class is taken for the next one."""
    n_C = np.bincount(np.arange(labelled) % classes, minlength=classes)
    matrix_CC = np.diag(n_C - n_C // 3)
    for c in range(classes):
        matrix_CC[c, (c + 1) % classes] += n_C[c] // 3
    return {
        "constant_answers": ConstantAnswers(
            majority=0,
            metrics={
                name: BesideConstant(value=estimate(rng.uniform(0.1, 0.6)), gain=comparison(rng.uniform(-0.2, 0.2)))
                for name in ("accuracy", "nll", "brier")
            },
        ),
        "by_class": ByClass(
            classes=tuple(
                OfClass(
                    label=c,
                    n=int(n_C[c]),
                    share=float(n_C[c] / labelled),
                    answered=int(matrix_CC[:, c].sum()),
                    precision=estimate(0.7),
                    recall=estimate(0.67),
                    f1=estimate(0.68),
                )
                for c in range(classes)
            ),
            matrix=tuple(map(tuple, matrix_CC.tolist())) if classes <= 100 else None,
            largest_confusions=tuple(
                Confusion(label=c, answer=(c + 1) % classes, n=int(n_C[c] // 3)) for c in range(min(classes, 20))
            ),
        ),
    }


def _reliability(labelled):
    return Reliability(bins=tuple(_bin(h, labelled) for h in (8, 10, 12, 14)))


def _bin(h, labelled):
    low, high = h / 15, (h + 1) / 15
    middle = (low + high) / 2
    return ReliabilityBin(
        low=low,
        high=high,
        n=max(1, labelled * h // 44),
        confidence=middle,
        accuracy=middle - 0.03,
        ci95=(middle - 0.09, min(1.0, middle + 0.05)),
        band95=(middle - 0.05, min(1.0, middle + 0.05)),
    )


def _member_blocks(ids):
    sizes = (*(size for size in SIZES if size < len(ids)), len(ids))
    mean = 0.3 + 0.05 / np.array(sizes)
    spread = 0.03 * (1 - np.array(sizes) / len(ids))
    low, high = tuple((mean - spread).tolist()), tuple((mean + spread).tolist())
    summary = SubsetSummary(
        mean=tuple(mean.tolist()), sd=tuple((spread / 2).tolist()), min=low, max=high, p5=low, p95=high
    )
    gain = Gain(over_mean=comparison(0.0123), over_best=comparison(-0.0012, 0.4), best_member=ids[0])
    least, most = Pair(value=0.05, members=ids[:2]), Pair(value=0.21, members=ids[-2:])
    return {
        "gain": dict.fromkeys(metric_names(2, headline=True), gain),
        "size_curve": SizeCurve(
            sizes=sizes,
            subsets=(5,) * len(sizes),
            metrics=dict.fromkeys(metric_names(2, headline=True), summary),
            added={
                name: (comparison(-0.0012, None if name != "accuracy" else 0.031),) * (len(sizes) - 1)
                for name in ("accuracy", "nll", "brier")
            },
            slight_from=sizes[-2],
            answer=f"From {sizes[-2]} members on, a further one changes little.",
        ),
        "diversity": {
            "disagreement": PairwiseNumber(mean=estimate(0.1), min=least, max=most, matrix=None),
            "error_correlation": PairwiseNumber(mean=estimate(0.6), min=None, max=None, matrix=None),
        },
    }


def _calibrated_blocks(rng, ids, classes):
    pooled = (FittedTemperature(member=None, value=1.237, at_bound=False),)
    own = tuple(FittedTemperature(member=member, value=rng.uniform(1, 2), at_bound=False) for member in ids)
    return {
        "temperature": TemperatureScaling(
            calibration=SPLIT,
            pooled=_effect(rng, pooled, classes),
            per_member=_effect(rng, own, classes),
        ),
        "conformal": Conformal(
            calibration=SPLIT,
            methods={
                method: {f"{level:.2f}": _sets(level, classes) for level in (0.8, 0.9, 0.95)}
                for method in ("lac", "aps", "class_conditional")
            },
        ),
    }


def _effect(rng, temperatures, classes):
    names = metric_names(classes)
    return TemperatureEffect(
        temperatures=temperatures,
        after={name: metric_estimate(rng.uniform(0.02, 0.9)) for name in names},
        change={name: comparison(rng.uniform(-0.1, 0.1)) for name in names},
        reliability=_reliability(SPLIT.n),
    )


def _sets(level, classes):
    return ConformalSets(
        level=level,
        calibration_examples=SPLIT.n,
        thresholds=(0.4,) * classes,
        always_included=(),
        guarantee=Guarantee(of="marginal", at_least=level, at_most=level + 1 / (SPLIT.n + 1)),
        coverage=estimate(0.91),
        mean_size=estimate(1.21),
        empty=0.01,
        single=0.77,
        by_size=tuple(_coverage(size) for size in (1, 2)),
        by_class=tuple(_coverage(c) for c in range(classes)),
        promise=Promise(verdict="kept", expected95=(level - 0.05, level + 0.04)),
    )


def _coverage(group):
    return GroupCoverage(group=group, n=100, coverage=0.9, ci95=(0.81, 0.97))


def _example(i, ids, classes, *, labelled=True, wrong=False):
    votes = (Vote(member=member, prediction=(i + member.seed) % classes, probability=0.61) for member in ids)
    return SingleExample(
        id=f"q{i}",
        label=(i + wrong) % classes if labelled else None,
        prediction=i % classes,
        confidence=0.534,
        entropy=0.678,
        mutual_information=0.0123,
        votes=tuple(votes),
    )
