"""GGUF headers: read as the library reads them, and refused by name where they lie."""

import struct
import time

import pytest

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.gguf.gguf_header import NOT_READ, STORED, is_gguf, read_gguf_header
from tiny_gguf import save_gguf, write_gguf

gguf = pytest.importorskip("gguf")


def header(version=3, tensors=0, keys=0, body=b"", magic=b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, tensors, keys) + body


def text(value: str | bytes) -> bytes:
    body = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(body)) + body


def key(name: str, kind: int, body: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + body


def tensor(name="t", sizes=(32,), code=0, offset=0, axes=None) -> bytes:
    sizes = list(sizes)
    table = struct.pack(f"<I{len(sizes)}Q", len(sizes) if axes is None else axes, *sizes)
    return text(name) + table + struct.pack("<IQ", code, offset)


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_1"])
def test_a_header_is_what_the_library_reads(tmp_path, kind):
    path = save_gguf(tmp_path / "a.gguf", kind=kind, intermediate_size=64)
    ours, theirs = read_gguf_header(path), gguf.GGUFReader(path)

    fields = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert dict(ours.values) == fields
    assert [each.name for each in theirs.tensors] == list(ours.tensors)
    for each in theirs.tensors:
        assert ours.tensors[each.name].shape == tuple(reversed(each.shape.tolist()))
        assert ours.tensors[each.name].kind == each.tensor_type.name


def test_the_sizes_of_stored_numbers_are_those_of_the_library():
    for code, (name, block, size) in STORED.items():
        kind = gguf.GGMLQuantizationType(code)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, size))


def test_every_kind_of_the_library_is_read_or_refused_by_name():
    assert {kind.value: kind.name for kind in gguf.GGMLQuantizationType} == {
        code: name for code, (name, _, _) in STORED.items()
    } | NOT_READ


def test_a_base_is_a_gguf_file_by_its_ending(tmp_path):
    (tmp_path / "folder.gguf").mkdir()

    assert is_gguf(tmp_path / "a.gguf")
    assert is_gguf(tmp_path / "A.GGUF")
    assert not is_gguf(tmp_path / "folder.gguf")
    assert not is_gguf(tmp_path)


WHOLE = tensor(offset=0) + tensor("u", offset=128)

LIES = {
    "empty": (b"", r"its header needs 4 bytes from byte 0, and it has 0"),
    "other": (header(magic=b"\x80\x02cp"), r"it begins with .* and not with GGUF"),
    "old": (header(version=1), "it is of version 1, and versions 2 and 3 are read"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "in little-endian order"),
    "tensors": (header(tensors=2**63), "it says that it has 9,223,372,036,854,775,808 tensors, over"),
    "keys": (header(keys=2**40), "it says that it has 1,099,511,627,776 keys, over"),
    "few keys": (header(keys=2), "its header needs 8 bytes from byte 24"),
    "key twice": (header(keys=2, body=key("a", 4, b"\0" * 4) * 2), "the key 'a' stands in it twice"),
    "long text": (header(keys=1, body=struct.pack("<Q", 2**62)), "its header needs 4,611,686,018,427,387,904 bytes"),
    "not UTF-8": (header(keys=1, body=text(b"\xff\xfe")), "the text at byte 24 of its header is not UTF-8"),
    "type": (header(keys=1, body=key("a", 13, b"")), r"names a type of value \(13\) that there is not"),
    "list": (header(keys=1, body=key("a", 9, struct.pack("<IQ", 4, 2**61))), "has 2,305,843,009,213,693,952 entries"),
    "texts": (header(keys=1, body=key("a", 9, struct.pack("<IQ", 8, 1_999_999))), "its header needs 8 bytes"),
    "lists": (header(keys=1, body=key("a", 9, struct.pack("<IQ", 9, 1))), r"of a type \(9\) that is not read"),
    "alignment": (header(keys=1, body=key("general.alignment", 4, struct.pack("<I", 33))), "must be a power of two"),
    "alignment 0": (header(keys=1, body=key("general.alignment", 4, b"\0" * 4)), "must be a power of two"),
    "axes": (header(tensors=1, body=tensor(axes=10**9)), "the tensor 't' has 1,000,000,000 axes"),
    "code": (header(tensors=1, body=tensor(code=24)), r"the tensor 't' is stored as I8 \(type 24\); read are F32, F16"),
    "no code": (
        header(tensors=1, body=tensor(code=99)),
        "the tensor 't' is stored as type 99, which nobody knows; read",
    ),
    "block": (header(tensors=1, body=tensor(sizes=(33,), code=8)), "sizes or a place that a tensor of Q8_0 cannot"),
    "no size": (header(tensors=1, body=tensor(sizes=(32, 0))), "sizes or a place that a tensor of F32 cannot"),
    "place": (header(tensors=1, body=tensor(offset=1)), "sizes or a place that a tensor of F32 cannot"),
    "huge": (header(tensors=1, body=tensor(sizes=(2**62, 2**62))), "it ends before the tensor 't' does"),
    "tensor twice": (header(tensors=2, body=tensor() * 2), "the tensor 't' stands in it twice"),
    "truncated": (header(tensors=2, body=WHOLE) + b"\0" * 200, "it ends before the tensor 'u' does"),
    "upon another": (
        header(tensors=2, body=tensor(sizes=(64,)) + tensor("u", offset=128)) + b"\0" * 500,
        "lies upon another",
    ),
}


OF_ANOTHER_KIND = ("old", "big-endian", "code", "no code")


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_at_once(tmp_path, lie):
    body, message = LIES[lie]
    advice = "take another file of the model" if lie in OF_ANOTHER_KIND else "get it again"
    path = tmp_path / "a.gguf"
    path.write_bytes(body)
    before = time.process_time()

    with pytest.raises(ModelError, match=rf"^model_name: {path} cannot be read as GGUF: .*{message}.*; {advice}$"):
        read_gguf_header(path)

    assert time.process_time() - before < 1


def test_the_headers_above_are_refused_for_nothing_but_their_lies(tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(header(tensors=2, body=WHOLE) + b"\0" * 300)

    assert list(read_gguf_header(path).tensors) == ["t", "u"]


def test_a_long_header_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "a.gguf"
    with path.open("wb") as stream:
        stream.write(header(keys=1, body=text("a") + struct.pack("<IQ", 8, 2**30)))
        stream.truncate(2**31)

    with pytest.raises(ModelError, match="its header is longer than 67,108,864 bytes"):
        read_gguf_header(path)


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_gguf_header(tmp_path / "nowhere.gguf")


def test_the_writer_of_these_tests_writes_what_it_is_told(tmp_path):
    path = write_gguf(tmp_path / "a.gguf", {"general.architecture": "llama", "a": True, "b": [1, 2], "c": 0.5}, {})

    assert dict(read_gguf_header(path).values) == {"general.architecture": "llama", "a": True, "b": [1, 2], "c": 0.5}
