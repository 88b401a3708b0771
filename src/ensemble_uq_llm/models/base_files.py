"""The base's files as they were: size, times and SHA-256 of each, so that another base is noticed, and cheaply.

Weights are read in full once. From then on a file whose size and times are those of the record is taken to be the file
of the record; one whose are not is read again. A clock can be set back: `full` trusts nothing but the bytes.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, TypedDict

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.folder_files import claimed_sha256, obstacle
from ensemble_uq_llm.models.gguf.gguf_header import is_gguf
from ensemble_uq_llm.utils.files import sha256_of

SUFFIXES: Final = (".json", ".safetensors", ".model")
"""The files that make a base what it computes: configuration, tokenizer, weights."""

OLDER_TOKENIZERS: Final = ("merges.txt", "vocab.txt")
"""What a tokenizer is made from where there is no tokenizer.json; beside it they say nothing."""

TEMPLATE: Final = "chat_template.jinja"
"""What stands around prompts with `chat_template: true`."""


class BaseFile(TypedDict):
    """One file of a base; the times are nanoseconds."""

    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str


BaseFiles: TypeAlias = dict[str, BaseFile]
"""The files of a base by their names, as JSON has it."""


def base_files(
    folder: Path, known: Mapping[str, BaseFile] | None = None, *, templated: bool = False, full: bool = False
) -> BaseFiles:
    """Return what the base's files are now, reading only those that differ from `known`; of a GGUF file: that one.

    They differ if their size or times do. Without `known` the hub's word is taken for the digests of what it has
    downloaded, and the rest is read.

    Args:
        folder: the base's files, or its GGUF file.
        known: an earlier record of them, from this machine or another. Records of earlier versions are without the
            chat template, and nothing of theirs was asked in it.
        templated: whether prompts stand in the chat template, which then counts whatever the record is.
        full: read every file, whatever its times and its name say.

    Raises:
        ModelError: a file that cannot be read, leads out of the folder, or changes while it is read.
    """
    earlier = {} if full or known is None else known
    trust_hub = known is None and not full
    is_used = templated or known is None or TEMPLATE in known
    paths = {_name_of(path, known): path for path in _paths(folder, (TEMPLATE,) if is_used else ())}
    return {name: _base_file(path, earlier.get(name), trust_hub=trust_hub) for name, path in paths.items()}


def path_of(base: Path, name: str) -> Path:
    """Return where a file of a base lies; the name of none is the base itself."""
    return base if is_gguf(base) else base / name


def digest_of(files: Mapping[str, BaseFile]) -> str:
    """Return one SHA-256 over the names and contents of a base's files; times do not count."""
    listing = {name: file["sha256"] for name, file in files.items()}
    return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()


def differing(files: Mapping[str, BaseFile], wanted: Mapping[str, BaseFile]) -> dict[str, str]:
    """Return the files whose contents are not those of `wanted`, by name: `altered`, `missing` or `added`.

    Where not one name is the same, as between a folder and a GGUF file, it is the whole that is not the base.
    """
    if not files.keys() & wanted.keys():
        return {"": "not the base"}
    differences = {
        name: "altered" for name in files.keys() & wanted.keys() if files[name]["sha256"] != wanted[name]["sha256"]
    }
    differences |= dict.fromkeys(wanted.keys() - files.keys(), "missing")
    differences |= dict.fromkeys(files.keys() - wanted.keys(), "added")
    return dict(sorted(differences.items()))


def _name_of(path: Path, known: Mapping[str, BaseFile] | None) -> str:
    """Return the name to record; a GGUF file keeps that of the record, as what it is called changes nothing in it."""
    recorded = [name for name in known or {} if is_gguf(Path(name))]
    return recorded[0] if is_gguf(path) and len(recorded) == 1 else path.name


def _paths(base: Path, templates: Sequence[str]) -> list[Path]:
    if is_gguf(base):
        return [base]
    try:
        paths = sorted(base.iterdir())
    except OSError as error:
        raise ModelError(f"model_name: {base} cannot be read ({error.strerror or error})") from error
    others = () if any(path.name == "tokenizer.json" for path in paths) else OLDER_TOKENIZERS
    return [path for path in paths if path.suffix in SUFFIXES or path.name in (*others, *templates)]


def _base_file(path: Path, known: BaseFile | None, *, trust_hub: bool) -> BaseFile:
    if reason := obstacle(path, folder=path.resolve().parent if is_gguf(path) else None):
        raise ModelError(f"model_name: {path} {reason}")
    try:
        before = path.stat()
        if known is not None and _is_same(before, known):
            return known
        digest = (claimed_sha256(path) if trust_hub else None) or sha256_of(path)
        after = path.stat()
    except OSError as error:
        raise ModelError(f"model_name: {path} cannot be read ({error.strerror or error})") from error
    if _stamp(before) != _stamp(after):
        raise ModelError(f"model_name: {path} changed while it was read; run the command again when it is complete")
    size, mtime_ns, ctime_ns = _stamp(before)
    return BaseFile(size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns, sha256=digest)


def _is_same(facts: os.stat_result, known: BaseFile) -> bool:
    return _stamp(facts) == (known["size"], known["mtime_ns"], known["ctime_ns"])


def _stamp(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
