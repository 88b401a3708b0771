import io
import struct
import time
import zipfile

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign.npz_arrays import NpzArchive
from ensemble_uq_llm.utils.input.input_file import VARIABLE, opened


def npy(header, data=b"\0" * 16, version=(1, 0)):
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def written(folder, content, compression=zipfile.ZIP_STORED):
    path = folder / "x.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", content)
    return path


def read(path, name="a"):
    with opened(path) as file:
        return NpzArchive(file).read(name)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(2, 3, 2),
        np.asfortranarray(np.arange(12).reshape(2, 3, 2)),
        np.array(["ü", "b"]),
        np.array(3, np.float16),
        np.zeros((0, 2)),
        np.arange(4, dtype=">i8"),
        np.array([b"a", b"bc"]),
    ],
)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_are_those_of_numpy(tmp_path, write, array):
    write(tmp_path / "x.npz", a=array)
    found = read(tmp_path / "x.npz")
    assert found.dtype == array.dtype
    assert found.tolist() == array.tolist()


HEADERS = {
    "8 TB": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}",
    "beyond any memory": "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2)}",
    "400 digits": f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'9' * 400}, 2)}}",
    "5000 digits": f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'9' * 5000}, 2)}}",
    "nothing of much": "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999, 2)}",
    "negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2)}",
    "truth": "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 2)}",
    "fraction": "{'descr': '<f8', 'fortran_order': False, 'shape': (1.0, 2)}",
    "65 axes": f"{{'descr': '<f8', 'fortran_order': False, 'shape': (2, {'1, ' * 64})}}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}",
    "hidden objects": "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1, 2)}",
    "long text": "{'descr': '<U500000000', 'fortran_order': False, 'shape': (1, 2)}",
    "no bytes": "{'descr': '|V0', 'fortran_order': False, 'shape': (10000000000, 2)}",
    "no type": "{'descr': 'zz', 'fortran_order': False, 'shape': (1, 2)}",
    "half of it": "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1)}",
    "twice of it": "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2)}",
    "no dictionary": "{1, 2}",
    "code": "__import__('os').getcwd()",
    "brackets": "(" * 5000,
    "deep": "[" * 3000 + "]" * 3000,
    "long": " " * 60_000,
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_lies_is_refused_at_once(tmp_path, header):
    path, began = written(tmp_path, npy(HEADERS[header])), time.process_time()
    with pytest.raises(DataError, match=r"^array 'a' cannot be read \(.{1,130}\); store plain numbers"):
        read(path)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("version", [(3, 0), (9, 9)])
def test_another_version_is_refused(tmp_path, version):
    with pytest.raises(DataError, match="of another version of the NPY format"):
        read(written(tmp_path, npy(HEADERS["half of it"], version=version)))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unpacks_to_much_is_refused_before_it_does(tmp_path, monkeypatch, compression):
    content = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2097152, 2)}", b"\0" * 2**25)
    path = written(tmp_path, content, compression)
    assert path.stat().st_size < 50_000
    assert read(path).shape == (2**21, 2)
    monkeypatch.setenv(VARIABLE, "0.03")
    with pytest.raises(DataError, match=rf"needs 0\.0671 GB of memory at least, and 0\.03 GB are .*{VARIABLE}"):
        read(path)


def test_an_entry_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    path = written(tmp_path, npy(HEADERS["half of it"], b"\0" * 8) + b"\0" * 10_000, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=r"its header says .1, 1. of float64, and 10,008 bytes are stored"):
        read(path)


def test_a_name_that_stands_there_twice_is_refused(tmp_path):
    path = written(tmp_path, npy(HEADERS["half of it"], b"\0" * 8))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a", b"other")
    with pytest.raises(DataError, match="array 'a' is there twice"):
        read(path)


def test_no_byte_can_be_altered_unseen(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, a=np.arange(3.0), b=np.arange(2))
    sound, path = stream.getvalue(), tmp_path / "x.npz"
    for at in range(len(sound)):
        for bit in (0, 3, 7):
            path.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << bit)]) + sound[at + 1 :])
            try:
                with opened(path) as file:
                    archive = NpzArchive(file)
                    found = {name: archive.read(name).tolist() for name in archive.names}
            except DataError:
                continue
            assert list(found.values()) == [[0.0, 1.0, 2.0], [0, 1]], (at, bit)  # a name may be another one
