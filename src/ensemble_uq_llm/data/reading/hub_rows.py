"""One split of a data set on the Hugging Face hub -> rows, with errors that say what to do.

Left to itself a load without network retries for 25 seconds (80 behind a silent firewall). So one short
request asks first whether the hub answers, and if not, only the cache is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ensemble_uq_llm.data.reading.file_formats import Record, coded_records
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.hub import why_hub_is_silent
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import first_line

BOOLQ_REPO: Final = "google/boolq"
LOCAL_FILES: Final = "or use local files: train_file=train.jsonl validation_file=dev.jsonl"
OF_BOOLQ: Final = " (BoolQ's official files hold one object a line with question, passage and answer)"


def load_hub_rows(repo: str, *, split: str, cache_dir: Path | None, configuration: str | None = None) -> list[Record]:
    """Return the rows of one split, downloaded or from the cache; of a repository of several data sets those of one.

    Everything is kept in `cache_dir` (None: the user's Hugging Face cache). HF_HUB_OFFLINE is honoured.
    Raises DataError if the split cannot be had. Not for several threads at once.
    """
    import datasets

    cache_dir = cache_dir.expanduser() if cache_dir else None
    silence = why_hub_is_silent()
    try:
        with _settings(is_offline=silence is not None, cache_dir=cache_dir):
            rows = datasets.load_dataset(
                repo, configuration, split=split, cache_dir=str(cache_dir) if cache_dir else None
            )
    except Exception as error:
        raise DataError(_explained(repo, split, silence, error)) from error
    named = {name: kind.names for name, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)}
    return list(coded_records(rows, named))


@contextmanager
def _settings(*, is_offline: bool, cache_dir: Path | None) -> Iterator[None]:
    """While open, `datasets` reads only its cache (if offline) and keeps raw files in `cache_dir`.

    `load_dataset` has no argument for the first, and its `cache_dir` covers only what it prepares from
    the raw files; both are constants of the two libraries.
    """
    import datasets
    from huggingface_hub import constants

    saved = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE, constants.HF_HUB_CACHE
    if is_offline:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    if cache_dir is not None:
        constants.HF_HUB_CACHE = str(cache_dir)
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE, constants.HF_HUB_CACHE = saved


def _explained(repo: str, split: str, silence: str | None, error: Exception) -> str:
    """Return the message for a failed load: what happened and what to do, the most specific first."""
    import datasets
    from huggingface_hub import constants, errors

    chain = list(_chain(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in chain)

    token = "run `hf auth login` or set HF_TOKEN"
    why = first_line(error)
    local = LOCAL_FILES + (OF_BOOLQ if repo == BOOLQ_REPO else "")
    # `datasets` drops the hub's own error for a gated repository and keeps only these words.
    if has(errors.GatedRepoError) or "gated dataset" in str(error):
        page = f"{constants.ENDPOINT}/datasets/{repo}"
        return f"data set {repo!r} is gated: accept its terms on {page}, then {token}"
    if has(errors.RepositoryNotFoundError, datasets.exceptions.DatasetNotFoundError):
        hint = did_you_mean(repo, [BOOLQ_REPO])
        return f"data set {repo!r} is not on the hub, or it is private{hint}; if it is private, {token}"
    if isinstance(error, ValueError) and "split" in why:
        return f"data set {repo!r} has no split {split!r}: {why}"
    if silence is not None and has(ConnectionError):
        return f"data set {repo!r} is not in the cache, and {silence}; connect, {local}"
    if has(errors.LocalEntryNotFoundError, errors.FileMetadataError) or "LocalEntryNotFound" in why:
        wrong = "is not a Hugging Face hub, or a proxy stands between; check HF_ENDPOINT and the proxy"
        return f"data set {repo!r}: what answers at {constants.ENDPOINT} {wrong}, {local}"
    if any(_is_of_the_network(each) for each in chain) or "Consistency check" in why:
        again = "run the same command again: files that are complete are kept"
        return f"the connection broke while {repo!r} was loaded ({why}); {again}; {local}"
    return f"data set {repo!r}, split {split!r}, cannot be loaded: {type(error).__name__}: {why}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    # `datasets` raises "from None" after a look into its cache, so the context counts as well.
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_of_the_network(error: BaseException) -> bool:
    # Which client the hub's library uses depends on its version, so its errors are told by their origin.
    return isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.startswith(
        ("httpx", "httpcore", "requests", "urllib3", "aiohttp")
    )
