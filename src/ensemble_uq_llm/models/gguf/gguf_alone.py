"""A GGUF file in a folder of its own, so that a loader sees that file and nothing that lies beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

NAME: Final = "model.gguf"


@contextmanager
def alone(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield a folder, and the name in it that stands for the file; both are gone afterwards.

    transformers looks beside a GGUF file for settings of its tokenizer, for templates and for adapters.
    """
    with TemporaryDirectory(prefix="gguf-") as folder:
        (Path(folder) / NAME).symlink_to(path.resolve())
        yield Path(folder), NAME
