"""Independent random streams: a member is its seed, and each of its uses of chance has its own stream."""

import hashlib


def derive_seed(seed: int, *path: str | int) -> int:
    """Return the seed (63 bits) of the stream that `path` names under `seed`.

    Streams are independent of one another and of the order in which they are asked for, so what one member,
    tensor or step draws never depends on which others exist.
    """
    text = "/".join([str(seed), *map(str, path)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
