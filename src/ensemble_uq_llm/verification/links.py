"""What was made from what within a run: members' records, predictions, metrics, the report."""

import json
from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.freshness import check_same_scale, predicting_again
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.parquet import read_origin
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.manifest import OUTSIDE, Manifest
from ensemble_uq_llm.utils.files import sha256_of
from ensemble_uq_llm.utils.text import as_word
from ensemble_uq_llm.verification.audit import Audit


def check_made_from(folder: RunFolder, manifest: Manifest, into: Audit) -> None:
    """Check that every file was made from what there is now."""
    for name, entry in sorted(manifest.current.items()):
        if entry.made_from:
            into.checking("link")
        for why in manifest.outdated(name):
            into.found(name, f"{why}; {_again(folder, name)}")


def member_records(folder: RunFolder, into: Audit) -> dict[MemberId, dict[str, Any]]:
    """Return the records of the members that are there, but for those that were found to be altered."""
    records = {}
    for member in folder.members():
        path = folder.member_record(member)
        name = path.relative_to(folder.root).as_posix()
        if name not in into.findings:
            try:
                records[member] = dict(json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError, RecursionError):
                into.found(name, "not a member's record")
    return records


def check_members(
    folder: RunFolder, manifest: Manifest | None, records: Mapping[MemberId, Mapping[str, Any]], into: Audit
) -> None:
    """Check members' weights and settings against their records, and the records against the manifest."""
    for member, record in records.items():
        into.checking("member")
        path = folder.member_weights(member)
        weights, settings, own = (
            each.relative_to(folder.root).as_posix()
            for each in (path, folder.adapter_settings(member), folder.member_record(member))
        )
        if (record.get("seed"), record.get("sample", 0)) != (member.seed, member.sample):
            into.found(own, "the record of another member")
        if weights not in into.findings and path.is_file() and record.get("weights_sha256") != sha256_of(path):
            into.found(weights, f"not the weights that {own} tells of; delete {member.folder_name} and train again")
        if manifest is None:
            continue
        made_from = manifest.current[weights].made_from if weights in manifest.current else {}
        for source in OUTSIDE:
            if source in made_from and record.get(f"{source}_digest") != made_from[source]:
                into.found(own, f"tells of another {source} than that which {weights} was recorded with")
        if settings not in into.findings:
            with into.noting_errors(settings):
                check_same_scale(folder, member, record)


def origins(folder: RunFolder, into: Audit) -> dict[str, Origin]:
    """Return what made each predicted set, but for those that were found to be altered, or by another program."""
    found = {}
    for name in folder.prediction_names():
        path = folder.predictions(name).relative_to(folder.root).as_posix()
        if path in into.findings:
            continue
        if (origin := read_origin(folder.predictions(name), verified=False)) is not None:
            found[name] = origin
        else:
            into.unchecked.append(f"{path}: it does not tell which members made it")
    return found


def check_origins(
    folder: RunFolder,
    made: Mapping[str, Origin],
    records: Mapping[MemberId, Mapping[str, Any]],
    into: Audit,
) -> None:
    """Check that the members, and their base, that predictions tell of are those that the run has."""
    told = {member.folder_name: record for member, record in records.items()}
    there = {member.folder_name for member in folder.members()}
    for name, origin in made.items():
        into.checking("predicted set")
        path = folder.predictions(name).relative_to(folder.root).as_posix()
        for member, digest in () if origin.foreign else origin.weights.items():
            record = told.get(member, {})
            if member not in there:
                into.found(path, f"predicted with {member}, which is gone; {_again(folder, path)}")
            elif digest != record.get("weights_sha256", digest):
                into.found(path, f"predicted with other weights of {member}; {_again(folder, path)}")
            elif origin.base != record.get("base_digest", origin.base):
                into.found(path, f"predicted on another base than {member} was trained on; {_again(folder, path)}")


def _again(folder: RunFolder, name: str) -> str:
    """Return the command that makes a file anew."""
    room, _, file = name.partition("/")
    if room == folder.predictions("any").parent.name:
        stem = file.removesuffix(".examples.jsonl").removesuffix(".parquet")
        origin = read_origin(folder.predictions(stem), verified=False)
        return f"make it again: {predicting_again(folder, {stem: origin})[0]}"
    command = "report" if name == folder.report.name else "evaluate"
    return f"make it again: ensemble-uq {command} {as_word(folder)}"
