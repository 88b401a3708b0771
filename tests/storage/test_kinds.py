import os
import socket
from pathlib import Path

from ensemble_uq_llm.storage.kinds import kind_of


def test_what_no_file_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        kinds = {path: kind_of(Path(path).stat().st_mode) for path in (tmp_path, "/dev/null")}
        assert [*kinds.values()] == ["a folder", "a device"]
        assert [kind_of((tmp_path / name).stat().st_mode) for name in ("pipe", "socket")] == ["a pipe", "a socket"]
    assert kind_of(0) == "something else"
