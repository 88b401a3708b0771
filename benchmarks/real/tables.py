"""The tables of docs/results.md, as Markdown: only what was measured, and "not run" for what was not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ensemble_uq_llm.evaluation.records import MetricEstimate, SetMetrics
from ensemble_uq_llm.report.formats import score_title
from ensemble_uq_llm.statistics.significance import p_in_words
from real.learned import verdict
from real.passages import NEW, RTE, SEEN
from real.reading import EnsembleResults, TaskResults
from real.stages import ZERO_SHOT

NOTHING: Final = "—"
FORMATS: Final = {"accuracy": ".1%", "nll": ".3f", "brier": ".3f", "ece": ".3f", "aurc": ".3f", "auroc": ".3f"}
HEADER: Final = ("who answers", "accuracy", "NLL", "Brier", "ECE", "if calibrated", "AURC")
SCORES: Final = ("one_minus_confidence", "entropy", "mutual_information", "one_minus_answer_mass")
COMMAND: Final = "python benchmarks/real_tasks.py --data DATA --base BASE"

Row = tuple[str, ...]


def page_tables(tasks: Sequence[TaskResults]) -> str:
    """Return all tables, the overview first."""
    blocks = [overview(tasks), *(task_block(each) for each in tasks)]
    return "\n\n".join(blocks) + "\n"


def overview(tasks: Sequence[TaskResults]) -> str:
    """Return one row an ensemble: is the task learned, and what does the ensemble add?"""
    header = (
        "task",
        "head",
        "rows: train, test",
        "learned?",
        "ensemble - mean member",
        "ensemble - zero-shot",
        "command",
    )
    rows: list[Row] = []
    for task in tasks:
        for head in task.plan.heads:
            command = f"`{COMMAND} --task {task.plan.task} --head {head}`"
            found = task.ensembles.get(head)
            if found is None:
                rows.append((task.plan.task, head, "not run", NOTHING, NOTHING, NOTHING, command))
                continue
            over_mean = found.metrics.gain["nll"].over_mean if found.metrics.gain else None
            told = "" if over_mean is None else f"NLL {_signed(over_mean.value)} {_interval(over_mean.ci95, '+.3f')}"
            against = _difference(found.against.get(ZERO_SHOT, {}), "accuracy")
            row = (task.plan.task, head, _counts(found), verdict(task, found), told or NOTHING, against, command)
            rows.append(row)
    return "### All tasks\n\n" + markdown(header, rows)


def task_block(task: TaskResults) -> str:
    """Return the tables of one task."""
    title = f"### {task.plan.task}"
    if not task.ensembles and task.zero_shot is None:
        return f"{title}\n\nnot run: `{COMMAND} --task {task.plan.task}`"
    parts = [title, _about(task), markdown(HEADER, list(_quality_rows(task)))]
    if tests := list(_test_rows(task)):
        parts.append(markdown(("paired difference", "accuracy", "NLL", "Brier"), tests))
    if shifts := list(_shift_rows(task)):
        parts.append(markdown(("AUROC of telling apart from rows of new passages", *map(score_title, SCORES)), shifts))
    return "\n\n".join(parts)


def _about(task: TaskResults) -> str:
    """Return what the numbers were measured on, in sentences."""
    lines = [f"Test rows: the official {task.plan.split}."]
    for head, found in task.ensembles.items():
        stages = found.record["stages"]
        train = sum(stage["seconds"] for stage in stages if stage["stage"] == "train")
        predict = sum(stage["seconds"] for stage in stages if stage["stage"] == "predict")
        lines.append(
            f"{head} head: {_counts(found)}; {found.metrics.members} members trained in {train:,.0f} s, predictions "
            f"{predict:,.0f} s."
        )
        if found.protocol:
            lines.append(found.protocol)
    masses = {"zero-shot": task.zero_shot} | {head: found.metrics for head, found in task.ensembles.items()}
    known = {who: _mass(each) for who, each in masses.items() if each is not None and _mass(each) is not None}
    if known:
        lines.append("Answer mass: " + ", ".join(f"{who} {mass:.3f}" for who, mass in known.items()) + ".")
    if task.ensembles:
        record = next(iter(task.ensembles.values())).record
        lines.append(f"Machine: {task.cpu or record['machine']}; torch {record['versions'].get('torch', 'not known')}.")
    return "\n".join(lines)


def _quality_rows(task: TaskResults) -> Iterator[Row]:
    if task.majority is not None:
        yield "class frequencies of the training rows", *_cells(task.majority, task.majority.ensemble)
    if task.plan.is_choice and task.guessing is not None:
        accuracy, nll = (format(task.guessing[name], FORMATS[name]) for name in ("accuracy", "nll"))
        yield "guessing", accuracy, nll, *(NOTHING,) * 4
    if task.zero_shot is not None:
        yield from _with_and_without("zero-shot", task.zero_shot)
    else:
        yield "zero-shot", "not run", *(NOTHING,) * 5
    for head in task.plan.heads:
        found = task.ensembles.get(head)
        if found is None:
            yield f"{head} head", "not run", *(NOTHING,) * 5
            continue
        for which, words in (("raw", ""), ("scaled", ", with temperature")):
            yield f"{head} head: mean member{words}", *_mean_member_cells(found.mean_member, which)
        yield from _with_and_without(f"{head} head: ensemble", found.metrics)


def _with_and_without(who: str, metrics: SetMetrics) -> Iterator[Row]:
    yield who, *_cells(metrics, metrics.ensemble)
    if metrics.temperature is not None:
        yield f"{who}, with temperature", *_cells(None, metrics.temperature.pooled.after)


def _cells(metrics: SetMetrics | None, estimates: Mapping[str, MetricEstimate]) -> Iterator[str]:
    for name in ("accuracy", "nll", "brier", "ece"):
        estimate = estimates.get(name)
        yield NOTHING if estimate is None else _cell(name, estimate.value, estimate.ci95)
    floor = estimates["ece"].noise_floor if "ece" in estimates else None
    yield NOTHING if floor is None else format(floor.mean, FORMATS["ece"])
    score = None if metrics is None else metrics.selective.get(SCORES[0])
    aurc = None if score is None else score.numbers["aurc"]
    yield NOTHING if aurc is None else _cell("aurc", aurc.value, aurc.ci95)


def _mean_member_cells(found: dict[str, Any], which: str) -> Iterator[str]:
    if not found:
        yield from ("not run", *(NOTHING,) * 5)
        return
    for name in ("accuracy", "nll", "brier", "ece"):
        yield _cell(name, found[which][name]["value"], found[which][name]["ci95"])
    yield format(found["ece_floor"][which], FORMATS["ece"])
    yield _cell("aurc", found[which]["aurc"]["value"], found[which]["aurc"]["ci95"]) if which == "raw" else NOTHING


def _test_rows(task: TaskResults) -> Iterator[Row]:
    for head, found in task.ensembles.items():
        for words, differences in _differences(found):
            cells = (_test(name, differences.get(name)) for name in ("accuracy", "nll", "brier"))
            yield f"{head} head: {words}", *cells


def _differences(found: EnsembleResults) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the ensemble is compared with, and its differences by metric."""
    if found.metrics.gain:
        yield "ensemble - mean member", {name: vars(gain.over_mean) for name, gain in found.metrics.gain.items()}
    if scaled := found.mean_member.get("ensemble_minus_mean_scaled"):
        yield "the same, both with temperatures", scaled
    for baseline, words in ((ZERO_SHOT, "zero-shot"), ("majority", "class frequencies")):
        if compared := found.against.get(baseline):
            yield f"ensemble - {words}", {name: each["difference"] for name, each in compared["metrics"].items()}


def _shift_rows(task: TaskResults) -> Iterator[Row]:
    titles = {RTE: "RTE's rows", SEEN: "rows of passages that were trained on"}
    for who, sets in task.shifts.items():
        for name, title in titles.items():
            shift = sets[name].shift if name in sets else None
            if shift is None:
                continue
            told = [score for score in SCORES if sets[name].several or score != "mutual_information"]
            found = (shift.numbers["auroc"].get(score) if score in told else None for score in SCORES)
            cells = (NOTHING if each is None else _cell("auroc", each.value, each.ci95) for each in found)
            yield f"{who}: {title} ({sets[name].n:,} against {sets[NEW].n:,})", *cells


def _counts(found: EnsembleResults) -> str:
    trained = next(stage["examples"] for stage in found.record["stages"] if stage["stage"] == "train")
    temperature = found.metrics.temperature
    held_out = "" if temperature is None else f" + {temperature.calibration.n:,} for temperatures"
    return f"{trained:,}{held_out}, {found.metrics.labelled:,}"


def _mass(metrics: SetMetrics) -> float | None:
    lacking = metrics.uncertainty.get("average_one_minus_answer_mass")
    return None if lacking is None else 1 - lacking


def _difference(compared: dict[str, Any], name: str) -> str:
    return f"{name} {_test(name, compared['metrics'][name]['difference'])}" if compared else "not run"


def _test(name: str, difference: Mapping[str, Any] | None) -> str:
    """Return a difference with its interval and p-value; of accuracies in points of a percent."""
    if difference is None or difference["value"] is None:
        return NOTHING
    # z: there is no minus before a zero.
    scale, form, unit = (100, "+z.1f", " points") if name == "accuracy" else (1, "+z.3f", "")
    ci95 = difference["ci95"] and [scale * each for each in difference["ci95"]]
    told = f"{scale * difference['value']:{form}}{unit} {_interval(ci95, form)}".rstrip()
    if difference["p_value"] is None:
        return told
    return f"{told}, {p_in_words(difference['p_value'], at_floor=difference.get('at_floor', False))}"


def _cell(name: str, value: float | None, ci95: Sequence[float] | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:{FORMATS[name]}} {_interval(ci95, FORMATS[name])}".rstrip()


def _interval(ci95: Sequence[float] | None, form: str) -> str:
    return "" if ci95 is None else f"({ci95[0]:{form}} to {ci95[1]:{form}})"


def _signed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+z.3f}"


def markdown(header: Row, rows: Sequence[Row]) -> str:
    """Return a table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
