"""What is at a place, in words, where it is no regular file."""

import stat
from typing import Final

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def kind_of(mode: int) -> str:
    """Return what something is by its mode, such as `a pipe`, for a message to go on with."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")
