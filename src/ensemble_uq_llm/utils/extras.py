"""Libraries that the light installation does without: which extra brings each, and how a missing one is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ensemble_uq_llm.errors import MissingExtraError

LIBRARIES: Final = {
    "train": ("torch", "transformers", "tokenizers", "peft", "datasets", "safetensors", "psutil", "huggingface_hub"),
    "gguf": ("gguf",),
    "pandas": ("pandas",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}
"""By extra, the modules that its distributions bring (as in pyproject.toml)."""


@contextmanager
def naming_extras() -> Iterator[None]:
    """Wherever it is open, the import of a library that is not installed fails with the name of its extra.

    It stands at the doors (the command line, and what Python callers call), also as a decorator.

    Raises:
        MissingExtraError: instead of the ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        extra = extra_of(library)
        if extra is None:
            raise
        raise MissingExtraError(
            f"{library} is not installed, and this needs it; install what brings it: {how_to_install(extra)}"
        ) from error


def extra_of(library: str) -> str | None:
    """Return the extra that brings a library; None for one that every installation has."""
    return next((extra for extra, libraries in LIBRARIES.items() if library in libraries), None)


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'ensemble-uq-llm[{extra}]'"
