"""Which predictions may be measured together: those of one and the same members, which a run still has."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import DataError, IntegrityError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.origin import Origin, differences, scale_of, titles
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import check_classes
from ensemble_uq_llm.run_folder import CALIBRATION, HELD_OUT, VALIDATION, RunFolder
from ensemble_uq_llm.storage.manifest import accepting
from ensemble_uq_llm.utils.text import as_word, clipped, counted, enumerated


def check_go_together(sets: Mapping[str, Predictions], *, calibration: Predictions | None, compared: bool) -> None:
    """Refuse sets of other classes or members than the first set, and a calibration set of others than any set.

    A calibration set may have further members. Digests count where both sides have them; a warning tells which sets
    have none beside others that do.

    Args:
        sets: what is evaluated, by name.
        calibration: what is fitted on for it.
        compared: whether the other sets are compared with the first.

    Raises:
        DataError: the numbers of classes, the members, or their base differ; the message says which, and in what.
    """
    main, *others = sets
    check_classes(sets if calibration is None else {**sets, CALIBRATION: calibration})
    for name in others if compared else ():
        _check_pair(name, sets[name], main, sets[main], allowed=())
    together = dict(sets) if compared or calibration is not None else {}
    if calibration is not None:
        for name, each in sets.items():
            _check_pair(CALIBRATION, calibration, name, each, allowed=calibration.members)
        together[CALIBRATION] = calibration
    unknown = [name for name, each in together.items() if each.origin is None]
    if 0 < len(unknown) < len(together):
        _warn_of_no_digests(unknown)


def check_fresh(folder: RunFolder, sets: Mapping[str, Predictions], *, seeds: Sequence[int] | None = None) -> None:
    """Refuse predicted sets of a run that other members made than those that the run has now; warn of absent members.

    Args:
        folder: the run.
        sets: its predictions by name, or some of them.
        seeds: whose members are wanted; those of the run's own configuration without.

    Raises:
        DataError: some are stale; the message says which, why, and the commands that predict them again.
        IntegrityError: the record of the run or of a member is torn, or a member is gone.
    """
    seeds = _seeds(folder) if seeds is None else seeds
    folder.check_members(seeds)
    members = folder.members_of(seeds)
    if members:
        warn_of_absent_members(folder, seeds)
    stale = stale_sets(folder, sets, seeds=seeds)
    if stale:
        are, reasons = "is" if len(stale) == 1 else "are", [f"  {name}: predicted {why}" for name, why in stale.items()]
        lines = [
            f"{folder.root}: {len(stale)} of {counted(len(sets), 'predicted set')} {are} stale; the run's members are "
            f"{titles(members)} now:",
            *reasons,
            "Predict again what is to be evaluated; delete the files of predictions that are not, and record that "
            f"({accepting(folder.root)}):",
            *(f"  {command}" for command in predicting_again(folder, {name: sets[name].origin for name in stale})),
        ]
        raise DataError("\n".join(lines))
    unknown = [name for name, each in sets.items() if each.origin is None]
    if unknown and members:
        _warn_of_no_digests(unknown)


def stale_sets(folder: RunFolder, sets: Mapping[str, Predictions], *, seeds: Sequence[int]) -> dict[str, str]:
    """Return why each stale set of a run is so: it lacks a member, or has one that is another or gone now.

    Sets that were predicted by given adapters (`predict --adapter`) are of no member of the run, and never stale.
    Where the folder holds no member, there is nothing to compare with.

    Raises:
        IntegrityError: a member's record is torn.
    """
    wanted, present = folder.members_of(seeds), folder.members()
    if not wanted:
        return {}
    weights, scales = weights_of(folder, present), scales_of(folder, present)
    reasons = {
        name: differences(each.members, each.origin, wanted=wanted, allowed=present, weights=weights, scales=scales)
        for name, each in sets.items()
        if each.origin is None or not each.origin.foreign
    }
    return {name: " and ".join(found) for name, found in reasons.items() if found}


def predicting_again(folder: RunFolder, sets: Mapping[str, Origin | None]) -> list[str]:
    """Return the commands that predict sets again: one for all that bear their source's name, one a renamed set."""
    run = f"ensemble-uq predict {as_word(folder)}"
    together, alone = "", []
    for name, origin in sets.items():
        known = None if origin is None else origin.source
        source = name if known is None and name in (VALIDATION, *HELD_OUT) else known
        if source is None:
            alone.append(f"{run} --data FILE --name {name}    (FILE: what it was made of)")
        elif Path(source).stem == name:
            together += f" --data {as_word(source)}"
        else:
            alone.append(f"{run} --data {as_word(source)} --name {name}")
    return [run + together, *alone] if together else alone


def absent_members(folder: RunFolder, seeds: Sequence[int]) -> str:
    """Name the seeds that have no finished member in a run folder, and why; an empty text where all have one.

    Raises:
        IntegrityError: the run's record is torn.
    """
    there = {member.seed for member in folder.members()}
    failed = folder.record().get("failed") or {}
    return enumerated(
        [
            f"{member.title} ({failed.get(member.folder_name, 'not trained')})"
            for member in trained(seeds)
            if member.seed not in there
        ]
        or [""]
    )


def warn_of_absent_members(folder: RunFolder, seeds: Sequence[int]) -> None:
    """Warn of the seeds that have no finished member, where others have one."""
    if absent := absent_members(folder, seeds):
        warnings.warn(f"{folder.root}: without {absent}; the other members are used", stacklevel=3)


def weights_of(folder: RunFolder, members: Sequence[MemberId]) -> dict[str, str]:
    """Return the recorded SHA-256 of finished members' weights, by the names of their folders.

    Raises:
        IntegrityError: a record is torn, or an adapter's settings were altered after training.
    """
    found = {}
    for member in members:
        path = folder.member_record(member)
        record = folder.read_object(path, remedy=f"delete {path.parent} and train again to get the member back")
        check_same_scale(folder, member, record)
        if isinstance(digest := record.get("weights_sha256"), str):
            found[member.folder_name] = digest
    return found


def scales_of(folder: RunFolder, members: Sequence[MemberId]) -> dict[str, dict[str, Any]]:
    """Return what finished members' weights are multiplied by, by the names of their folders.

    Raises:
        IntegrityError: an adapter's settings are torn.
    """
    paths = {member.folder_name: folder.adapter_settings(member) for member in members}
    return {name: scale_of(_adapter_settings(folder, path)) for name, path in paths.items() if folder.has(path)}


def check_same_scale(folder: RunFolder, member: MemberId, record: Mapping[str, Any]) -> None:
    """Refuse a member whose adapter's settings multiply its weights by something else than its record says.

    Raises:
        IntegrityError: they do, or are torn.
    """
    path, made = folder.adapter_settings(member), record.get("settings")
    if not folder.has(path) or not isinstance(made, dict) or not {"lora_r", "lora_alpha"} <= made.keys():
        return
    wanted = scale_of({"r": made["lora_r"], "lora_alpha": made["lora_alpha"]})
    found = scale_of(_adapter_settings(folder, path))
    if altered := [
        f"{key} is {clipped(found[key])}, not {wanted[key]!r}" for key in wanted if found[key] != wanted[key]
    ]:
        raise IntegrityError(
            f"{path}: not as training wrote it: {' and '.join(altered)}; put that back, or delete {path.parent} and "
            "train again"
        )


def _adapter_settings(folder: RunFolder, path: Path) -> dict[str, Any]:
    return folder.read_object(path, remedy=f"delete {path.parent} and train again to get the member back")


def _seeds(folder: RunFolder) -> Sequence[int]:
    """Return the seeds that the run's configuration asks for; without one, those that are there."""
    if folder.config.is_file():
        return load_config(folder.root).member_seeds
    return list(dict.fromkeys(member.seed for member in folder.members()))


def _check_pair(
    name: str, predictions: Predictions, with_name: str, with_which: Predictions, *, allowed: Sequence[MemberId]
) -> None:
    origin, other = predictions.origin, with_which.origin
    found = differences(
        predictions.members,
        origin,
        wanted=with_which.members,
        allowed=allowed,
        weights={} if other is None else other.weights,
        scales={} if other is None else other.scales,
    )
    if origin is not None and other is not None and origin.base != other.base:
        found.append("on another base")
    if found:
        raise DataError(
            f"{name} and {with_name} are predictions of different members, so they cannot be measured together: {name} "
            f"was predicted {' and '.join(found)}; predict both with the same members"
        )


def _warn_of_no_digests(names: Sequence[str]) -> None:
    warnings.warn(
        f"{enumerated(names)}: predictions that do not tell the digests of their members, such as those of an earlier "
        "version or of another program; only the members' names were compared",
        stacklevel=4,
    )
