import json

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.storage.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    Pending,
    accepting,
    manifest_over,
    parse_manifest,
    read_manifest,
    sound_manifest,
)


def entry(digit="a", **made_from):
    return FileEntry(sha256=digit * 64, size=3, made_from=made_from)


def written(folder, manifest):
    (folder / MANIFEST).write_text(manifest.as_text(), encoding="utf-8")
    return folder


PENDING = Pending(waiting=".staging/1", files={"b": entry("c")}, removed=["gone"])
WHOLE = Manifest(files={"a": entry(base="x"), "b": entry("b", a="a" * 64), "gone": entry("d")}, pending=PENDING)


def test_what_is_written_is_read_back(tmp_path):
    assert read_manifest(tmp_path) is None
    assert read_manifest(written(tmp_path, WHOLE)) == WHOLE


def test_while_a_change_is_under_way_files_may_be_as_before_or_after_it():
    assert WHOLE.accepted("b") == {"b" * 64, "c" * 64}
    assert WHOLE.accepted("gone") == {"d" * 64}
    assert WHOLE.accepted("nothing") == set()
    assert WHOLE.current == {"a": WHOLE.files["a"], "b": entry("c")}


def test_what_was_made_from_others_than_those_there_now_is_outdated():
    files = {"p": entry("1", base="x", a="a" * 64), "m": entry("2", p="9" * 64), "r": entry("3", gone="0" * 64)}
    manifest = Manifest(files={"a": entry(), **files})
    assert {name: manifest.outdated(name) for name in ("p", "m", "r", "absent")} == {
        "p": [],
        "m": ["made from another p than the one there is now"],
        "r": ["made from gone, which is gone"],
        "absent": [],
    }


def test_every_change_of_a_byte_is_noticed(tmp_path):
    content = WHOLE.as_text().encode()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1
        with pytest.raises(IntegrityError, match=r"manifest\.json: not a manifest .*verify .* --accept"):
            parse_manifest(bytes(altered), tmp_path / MANIFEST)
    for length in range(len(content)):
        with pytest.raises(IntegrityError, match=r"manifest\.json: not a manifest of this version"):
            parse_manifest(content[:length], tmp_path / MANIFEST)


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", "a//b", "", "./a", "a\0b"])
@pytest.mark.parametrize("place", ["files", "pending", "removed", "waiting"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, path, place):
    change = {"waiting": ".staging/1", "files": {}, "removed": []}
    change |= {"pending": {"files": {path: entry()}}, "removed": {"removed": [path]}, "waiting": {"waiting": path}}.get(
        place, {}
    )
    crafted = Manifest(files={path: entry()} if place == "files" else {}, pending=Pending(**change))
    with pytest.raises(IntegrityError, match="is no place within the folder"):
        read_manifest(written(tmp_path, crafted))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_told(tmp_path, version):
    values = json.loads(WHOLE.as_text()) | {"schema_version": version}
    with pytest.raises(IntegrityError, match=f"schema_version is {version!r}, and this version reads 1"):
        parse_manifest(json.dumps(values).encode(), tmp_path / MANIFEST)


def test_a_file_of_another_program_is_no_torn_manifest(tmp_path):
    (tmp_path / MANIFEST).write_text('{"name": "an app", "icons": []}')
    assert manifest_over(tmp_path) is None
    with pytest.raises(IntegrityError, match=r"a file of another program; move it, or use another folder"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text(WHOLE.as_text()[:100])
    with pytest.raises(IntegrityError, match="not a manifest of this version"):
        manifest_over(tmp_path)
    assert sound_manifest(tmp_path) is None


def test_the_command_that_records_a_folder_is_one_for_the_shell(tmp_path):
    assert accepting(tmp_path / "my run") == f"ensemble-uq verify '{tmp_path}/my run' --accept"
