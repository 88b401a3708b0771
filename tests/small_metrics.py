"""Metrics JSONs for the tests of the report: made by hand from a few drawn confidences, without any evaluation."""

import json

import numpy as np

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS as SELECTIVE
from ensemble_uq_llm.evaluation.decisions.shift import DETECTION_NUMBERS as DETECTION
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.report.terminal import TRUTH_ROWS
from ensemble_uq_llm.run_folder import RunFolder

BINS = 28
SIZES = (1, 2, 3, 5, 7, 10, 14, 20)


def estimate(value, spread=0.02):
    return {"value": value, "ci95": [value - spread, value + spread]}


def comparison(value, p_value=0.031):
    return {"value": value, "ci95": [value - 0.01, value + 0.01], "p_value": p_value}


UNDEFINED = {"value": None, "ci95": None}
NO_COMPARISON = {"value": None, "ci95": None, "p_value": None}


def main_metrics(
    name="validation", *, n=900, members=5, classes=2, labelled=None, calibrated=True, truth=False, seed=0
):
    """The metrics of a set in distribution, with every block that its kind has."""
    rng = np.random.default_rng(seed)
    labelled = n if labelled is None else labelled
    seeds = list(range(42, 42 + members))
    metrics = {
        "name": name,
        "role": "main",
        "n": n,
        "labelled": labelled,
        "members": members,
        "classes": classes,
        "seeds": seeds,
        "draws": 1000,
        "ensemble": {},
        "members_mean": {},
        "per_member": [],
        "uncertainty": _averages(rng),
        "histograms": _histograms(rng, n, labelled),
        "examples": {
            "most_uncertain": [_case(i, seeds, classes, labelled=i < labelled) for i in range(min(n, 20))],
            "most_confidently_wrong": [_case(i, seeds, classes, wrong=True) for i in range(min(labelled, 20))],
        },
    }
    if labelled:
        metrics |= _quality(rng, seeds, classes) | _labelled_blocks(rng, labelled)
    if labelled and members > 1:
        metrics |= _anatomy(rng, seeds)
    if labelled and calibrated:
        metrics |= _post_hoc(rng, seeds, classes)
    if truth:
        metrics["truth"] = {row: estimate(rng.uniform(0.1, 0.9)) for row, _, _ in TRUTH_ROWS}
    return metrics


def shifted_metrics(name, *, reference="validation", n=300, labelled=300, members=5, classes=2, seed=1):
    """The metrics of a shifted set."""
    metrics = main_metrics(name, n=n, labelled=labelled, members=members, classes=classes, seed=seed)
    del metrics["examples"]
    rng = np.random.default_rng(seed)
    areas = {score.name: estimate(rng.uniform(0.6, 0.95)) for score in SCORES}
    best = max(areas, key=lambda score: areas[score]["value"])
    detection = {q.name: {score.name: estimate(rng.uniform(0.1, 0.9)) for score in SCORES} for q in DETECTION}
    change = {metric: comparison(rng.uniform(-0.2, 0.2)) for metric in metrics["ensemble"]}
    shift = detection | {"auroc": areas, "best": {"score": best, "auroc": areas[best]["value"]}, "change": change}
    return metrics | {"role": "shifted", "reference": reference, "shift": {"reference": reference} | shift}


def write_run(root, *sets):
    """Write the metrics JSONs of one evaluation into a run folder and return it; the main set names the others."""
    folder = RunFolder(root)
    others = [metrics["name"] for metrics in sets if metrics["role"] != "main"]
    for each in sets:
        metrics = each | ({"other_sets": others} if each["role"] == "main" else {})
        path = folder.metrics(metrics["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(metrics, allow_nan=False), encoding="utf-8")
    return folder


def metric_names(classes, *, headline=False):
    return [m.name for m in METRICS if m.classes in (None, classes) and (m.headline or not headline)]


def _averages(rng):
    names = ["entropy", "expected_entropy", "mutual_information", "variance", *(score.name for score in SCORES)]
    return {f"average_{name}": rng.uniform(0, 0.4) for name in names} | {"mean_confidence": 0.873}


def _histograms(rng, n, labelled):
    wrong = labelled // 5
    kinds = {"correct": labelled - wrong, "wrong": wrong, "unlabelled": n - labelled, "all": n}
    return {
        quantity: {
            "upper": upper,
            "groups": [_group(rng, kind, count, upper) for kind, count in kinds.items() if count],
        }
        for quantity, upper in (("entropy", float(np.log(2))), ("mutual_information", 0.05))
    }


def _group(rng, kind, n, upper):
    shares = rng.dirichlet(np.linspace(3, 0.1, BINS))
    return {"kind": kind, "n": n, "mean": upper * rng.uniform(0.2, 0.6), "shares": shares.tolist()}


def _quality(rng, seeds, classes):
    ensemble = {}
    for metric in METRICS:
        if metric.classes in (None, classes):
            ensemble[metric.name] = estimate(rng.uniform(0.02, 0.95))
            if metric.calibration:
                ensemble[metric.name]["noise_floor"] = {"mean": 0.009, "p95": 0.0153, "p_value": rng.uniform(0, 0.1)}
    headline = metric_names(classes, headline=True)
    return {
        "ensemble": ensemble,
        "members_mean": {name: {"value": rng.uniform(0.02, 0.9)} for name in headline},
        "per_member": [{"seed": s} | {name: estimate(rng.uniform(0.02, 0.9)) for name in headline} for s in seeds],
    }


def _labelled_blocks(rng, labelled):
    coverage = np.linspace(1 / labelled, 1, min(labelled, 200))
    scores = {}
    for i, score in enumerate(SCORES):
        curve = {"coverage": coverage.tolist(), "risk": (0.2 * coverage ** (1 + i % 4)).tolist()}
        scores[score.name] = {q.name: estimate(rng.uniform(0.01, 0.9)) for q in SELECTIVE} | {"curve": curve}
    return {
        "reliability": {"bins": [_bin(h, labelled) for h in (8, 10, 12, 14)]},
        "selective": scores,
        "best_score": {
            "best": "mutual_information",
            "baseline": BASELINE,
            "criterion": "aurc",
            "gain": comparison(0.004),
            "p_value_of_choice": 0.021,
            "compared": len(SCORES),
            "really_better": True,
            "answer": "Use mutual information.",
        },
    }


def _bin(h, labelled):
    low, high = h / 15, (h + 1) / 15
    middle = (low + high) / 2
    return {
        "low": low,
        "high": high,
        "n": max(1, labelled * h // 44),
        "confidence": middle,
        "accuracy": middle - 0.03,
        "ci95": [middle - 0.09, min(1.0, middle + 0.05)],
        "band95": [middle - 0.05, min(1.0, middle + 0.05)],
    }


def _anatomy(rng, seeds):
    sizes = [size for size in SIZES if size < len(seeds)] + [len(seeds)]
    curve = {}
    for name in metric_names(2, headline=True):
        mean = 0.3 + 0.05 / np.array(sizes)
        spread = 0.03 * (1 - np.array(sizes) / len(seeds))
        curve[name] = {"mean": mean.tolist(), "sd": (spread / 2).tolist()}
        curve[name] |= {end: (mean - spread).tolist() for end in ("min", "p5")}
        curve[name] |= {end: (mean + spread).tolist() for end in ("max", "p95")}
    gain = {"over_mean": comparison(0.0123), "over_best": comparison(-0.0012, 0.4), "best_seed": seeds[0]}
    pairs = {"min": {"value": 0.05, "seeds": seeds[:2]}, "max": {"value": 0.21, "seeds": seeds[-2:]}}
    return {
        "gain": dict.fromkeys(metric_names(2, headline=True), gain),
        "size_curve": {
            "sizes": sizes,
            "subsets": [5] * len(sizes),
            "metrics": curve,
            "enough": sizes[-2],
            "answer": f"{sizes[-2]} members are enough.",
        },
        "diversity": {
            "disagreement": {"mean": estimate(0.1)} | pairs,
            "error_correlation": {"mean": estimate(0.6), "min": None, "max": None},
        },
    }


def _post_hoc(rng, seeds, classes):
    names = metric_names(classes)
    after = {"after": {name: estimate(rng.uniform(0.02, 0.9)) for name in names}}
    after["change"] = {name: comparison(rng.uniform(-0.1, 0.1)) for name in names}
    split = {"calibration": {"name": "calibration", "n": 200}}
    sets = {
        "coverage": estimate(0.91),
        "mean_size": estimate(1.21),
        "empty": 0.01,
        "single": 0.77,
        "by_size": [{"size": size, "n": 100, "coverage": 0.9, "ci95": [0.81, 0.97]} for size in (1, 2)],
        "by_class": [{"class": c, "n": 100, "coverage": 0.9, "ci95": [0.81, 0.97]} for c in range(classes)],
    }
    pooled = {"temperature": 1.237, "at_bound": False}
    members = {"temperatures": {str(seed): rng.uniform(1, 2) for seed in seeds}, "at_bound": []}
    methods = ("lac", "aps", "class_conditional")
    return {
        "temperature": split | {"pooled": pooled | after, "per_member": members | after},
        "conformal": split | {"methods": {method: dict.fromkeys(("0.80", "0.90", "0.95"), sets) for method in methods}},
    }


def _case(i, seeds, classes, *, labelled=True, wrong=False):
    votes = [{"seed": seed, "prediction": (i + seed) % classes, "probability": 0.61} for seed in seeds]
    return {
        "id": f"q{i}",
        "label": (i + wrong) % classes if labelled else None,
        "prediction": i % classes,
        "confidence": 0.534,
        "entropy": 0.678,
        "mutual_information": 0.0123,
        "votes": votes,
    }
