"""Are the numbers of two folders of metrics JSONs the same, the old ones of the first schema and the new of the second?

    python tools/compare_metrics.py OLD_FOLDER NEW_FOLDER

Every old file is rewritten as the second schema has it, without the package's help, and compared with the new file of
its name value by value, numbers exactly. What differs is printed, with its place; then what the schema renames, moves,
adds and drops. Exits with 1 on any difference, a missing file included.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHANGES = (
    "schema_version is new: 2",
    "seeds -> member_ids, each with its seed (and its sample, where that is not 0)",
    "per_member[].seed -> .member; per_member[].METRIC -> .metrics.METRIC",
    "selective.SCORE.NUMBER -> selective.SCORE.numbers.NUMBER, beside the curve",
    "shift.NUMBER.SCORE -> shift.numbers.NUMBER.SCORE",
    "temperature.PLACE.temperature or .temperatures, and .at_bound -> .temperatures[] of member, value and at_bound",
    "conformal ... by_size[].size and by_class[].class -> .group",
    "gain.METRIC.best_seed -> .best_member; diversity ... min.seeds and max.seeds -> .members",
    "examples ... votes[].seed -> .member",
    "left out where empty or null: ensemble, members_mean, per_member, other_sets",
)
"""What the second schema changes."""

EMPTY: tuple[Any, ...] = (None, [], {})


def as_second_schema(old: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a file of the first schema as the second has it."""
    new = dict(old) | {"schema_version": 2, "member_ids": [_member(seed) for seed in old["seeds"]]}
    del new["seeds"]
    new["per_member"] = [
        {"member": _member(each["seed"]), "metrics": {name: each[name] for name in each if name != "seed"}}
        for each in old["per_member"]
    ]
    rewrite = {
        "selective": _selective,
        "shift": _shift,
        "temperature": _temperature,
        "conformal": _conformal,
        "gain": _gain,
        "diversity": _diversity,
        "examples": _examples,
    }
    new |= {name: rewrite[name](old[name]) for name in rewrite if old.get(name) is not None}
    optional = ("ensemble", "members_mean", "per_member", "other_sets", "diversity")
    return {name: value for name, value in new.items() if not (name in optional and value in EMPTY)}


def _member(seed: int) -> dict[str, int]:
    return {"seed": seed}


def _selective(old: dict[str, Any]) -> dict[str, Any]:
    return {
        score: {"numbers": {name: each[name] for name in each if name != "curve"}, "curve": each["curve"]}
        for score, each in old.items()
    }


def _shift(old: dict[str, Any]) -> dict[str, Any]:
    kept = {name: old[name] for name in ("reference", "change") if name in old}
    return {"numbers": {name: value for name, value in old.items() if name not in {*kept, "best"}}} | kept


def _temperature(old: dict[str, Any]) -> dict[str, Any]:
    pooled, members = dict(old["pooled"]), dict(old["per_member"])
    at_bound = members.pop("at_bound")
    pooled["temperatures"] = [{"member": None, "value": pooled.pop("temperature"), "at_bound": pooled.pop("at_bound")}]
    members["temperatures"] = [
        {"member": _member(int(seed)), "value": value, "at_bound": int(seed) in at_bound}
        for seed, value in members["temperatures"].items()
    ]
    return old | {"pooled": pooled, "per_member": members}


def _conformal(old: dict[str, Any]) -> dict[str, Any]:
    def renamed(groups: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
        return [{"group" if key == name else key: value for key, value in group.items()} for group in groups]

    methods = {
        method: {
            level: sets | {"by_size": renamed(sets["by_size"], "size"), "by_class": renamed(sets["by_class"], "class")}
            for level, sets in levels.items()
        }
        for method, levels in old["methods"].items()
    }
    return old | {"methods": methods}


def _gain(old: dict[str, Any]) -> dict[str, Any]:
    def renamed(gain: dict[str, Any]) -> dict[str, Any]:
        seed = gain["best_seed"]
        kept = {name: gain[name] for name in ("over_mean", "over_best")}
        return kept | {"best_member": None if seed is None else _member(seed)}

    return {metric: renamed(gain) for metric, gain in old.items()}


def _diversity(old: dict[str, Any]) -> dict[str, Any]:
    def renamed(pair: dict[str, Any] | None) -> dict[str, Any] | None:
        return pair and {"value": pair["value"], "members": [_member(seed) for seed in pair["seeds"]]}

    return {name: each | {"min": renamed(each["min"]), "max": renamed(each["max"])} for name, each in old.items()}


def _examples(old: dict[str, Any]) -> dict[str, Any]:
    def renamed(vote: dict[str, Any]) -> dict[str, Any]:
        return {"member" if name == "seed" else name: _member(v) if name == "seed" else v for name, v in vote.items()}

    return {
        name: [each | {"votes": [renamed(vote) for vote in each["votes"]]} for each in examples]
        for name, examples in old.items()
    }


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Yield where two contents differ, and in what; 1 and 1.0 are the same number."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key, "absent"), new.get(key, "absent"), f"{place}.{key}" if place else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (ours, theirs) in enumerate(zip(old, new, strict=True)):
            yield from differences(ours, theirs, f"{place}[{i}]")
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield f"{place}: {old!r} -> {new!r}"


def numbers_in(value: Any) -> int:
    """Return how many numbers a content holds."""
    if isinstance(value, dict | list):
        return sum(map(numbers_in, value.values() if isinstance(value, dict) else value))
    return int(isinstance(value, int | float) and not isinstance(value, bool))


def main() -> None:
    """Compare the folders, print what differs and what the schema changes, and exit with 1 on any difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="metrics JSONs of the first schema")
    parser.add_argument("new", type=Path, help="metrics JSONs of the second")
    arguments = parser.parse_args()
    names = sorted({path.name for folder in (arguments.old, arguments.new) for path in folder.glob("*.json")})
    if not names:
        sys.exit(f"{arguments.old}: there is no metrics JSON; give the folder `metrics` of a run")
    found = 0
    for name in names:
        old, new = arguments.old / name, arguments.new / name
        if not (old.exists() and new.exists()):
            lines, count = [f"{name} is only in {arguments.old if old.exists() else arguments.new}"], 0
        else:
            rewritten = as_second_schema(json.loads(old.read_text(encoding="utf-8")))
            lines = list(differences(rewritten, json.loads(new.read_text(encoding="utf-8"))))
            count = numbers_in(rewritten)
        found += len(lines)
        print(f"{name}: {count:,} numbers, {len(lines):,} differences", *lines, sep="\n  ")
    print("What the schema changes:", *CHANGES, sep="\n  ")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
