"""Every error that a user can cause, each with the exit code that the command line returns for it.

A message names the file, key or line, the value that is wrong, and what to do about it. Each class is
also the standard library error that a Python caller would expect. Anything else that escapes is a bug
of ours and exits with 1.
"""

from ensemble_uq_llm.outgoing.safe_text import safe_text


def is_panic(error: BaseException) -> bool:
    """Tell whether a library written in Rust has given up. That is no `Exception`, and known by its name alone."""
    return type(error).__name__ == "PanicException"


class EnsembleUQError(Exception):
    """Base of all errors that are the user's to solve; what they say holds no secret and nothing invisible."""

    exit_code = 1

    def __init__(self, *words: object) -> None:
        super().__init__(*(safe_text(each, keep="\n") if isinstance(each, str) else each for each in words))


class ConfigError(EnsembleUQError, ValueError):
    """The configuration or the command line cannot be used (exit code 2)."""

    exit_code = 2


class ModelError(ConfigError):
    """The base model or its tokenizer cannot be loaded, or is not one that we can adapt (exit code 2)."""


class UnreachableModelError(ModelError):
    """The base model may well exist, but it is not in the cache and the hub does not answer (exit code 2)."""


class TooLittleMemoryError(ConfigError, MemoryError):
    """What the configuration asks for does not fit the memory of the device or the machine (exit code 2)."""


class MissingExtraError(ConfigError, ImportError):
    """An optional dependency is not installed; the message names the extra (exit code 2)."""


class DataError(EnsembleUQError, ValueError):
    """A data set or a file of predictions cannot be used (exit code 3)."""

    exit_code = 3


class StorageError(ConfigError):
    """The disk refuses: no space, no permission, a fault; what was there before is intact (exit code 2)."""


class OwnedError(ConfigError):
    """Another process writes the run folder; the message names it (exit code 2)."""


class MembersFailedError(EnsembleUQError, RuntimeError):
    """Some members diverged; the others are finished and saved (exit code 4)."""

    exit_code = 4


class IntegrityError(EnsembleUQError, OSError):
    """A file is not what its record says it is: altered, torn, or of another run (exit code 5)."""

    exit_code = 5


class InterruptedRunError(EnsembleUQError, RuntimeError):
    """The run was stopped from outside; the same command continues it (exit code 75)."""

    exit_code = 75
