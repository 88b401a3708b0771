"""What members were made from that lies elsewhere, where it is on this machine: the base's files, the training data."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.recorded_bags import LEFT_OUT, recorded_bags
from ensemble_uq_llm.data.datasets import find_dataset
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.errors import DataError, ModelError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base_files import base_files, differing, digest_of, path_of
from ensemble_uq_llm.models.local import hub_parts, hub_patterns, local_folder
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.extras import how_to_install
from ensemble_uq_llm.utils.files import expanded
from ensemble_uq_llm.utils.text import first_line
from ensemble_uq_llm.verification.audit import Audit


def check_base(
    config: Config, records: Iterable[Mapping[str, Any]], known: Mapping[str, Any] | None, into: Audit
) -> None:
    """Check the base in full against what members' records tell; `known` are its files as training recorded them."""
    wanted = {digest for record in records if (digest := record.get("base_digest"))}
    if not wanted:
        return
    try:
        own = expanded(Path(config.model_name))
        folder = own if own.is_dir() else local_folder(config.model_name) or _in_the_hubs_cache(config)
    except ModelError as error:
        into.unchecked.append(f"the base: {first_line(error)}")
        return
    into.checking("base")
    with into.noting_errors(str(folder)):
        files = base_files(folder, known, templated=config.chat_template, full=True)
        if wanted != {digest_of(files)}:
            differs = differing(files, known) if known else {}
            for name, how in differs.items() or [("", "not the base")]:
                into.found(str(path_of(folder, name)), f"{how}, as the members were trained on another")


def check_training_data(
    folder: RunFolder, config: Config, records: Mapping[MemberId, Mapping[str, Any]], into: Audit
) -> None:
    """Check that the training data are those that members' records tell of, and the rows that they left out."""
    wanted = {digest for record in records.values() if (digest := record.get("data_digest"))}
    if not wanted:
        return
    file = config.train_file
    if file is None and _is_remote(config.dataset):
        into.unchecked.append(f"the training data: {config.dataset} is on the hub")
    elif file is not None and not file.exists():
        into.unchecked.append(f"the training data: there is no {file} any more")
    else:
        into.checking("training set")
        name = str(file or config.dataset)
        try:
            with warnings.catch_warnings(), into.noting_errors(name):
                warnings.simplefilter("ignore")
                train = Job(config).train
                if wanted != {train.digest}:
                    into.found(name, "its examples are not those that the members were trained on")
                elif any(LEFT_OUT in record for record in records.values()):
                    recorded_bags(folder, list(records), rows=len(train.examples), data_digest=train.digest)
        except ModuleNotFoundError as error:
            into.checked["training set"] -= 1
            into.unchecked.append(f"the training data: {error.name} is not installed; {how_to_install('train')}")


def _is_remote(dataset: str) -> bool:
    try:
        return find_dataset(dataset).is_remote
    except DataError:
        return True


def _in_the_hubs_cache(config: Config) -> Path:
    """Return the folder of a base from the hub, where it was downloaded; nothing is downloaded now.

    Raises:
        ModelError: it was not, or nobody can tell.
    """
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise ModelError(f"{config.model_name} is from the hub: {how_to_install('train')}") from None
    try:
        repository, file = hub_parts(config.model_name)
        folder = snapshot_download(
            repository,
            revision=config.model_revision,
            cache_dir=config.cache_dir,
            allow_patterns=hub_patterns(file),  # without them all that is on the hub must be here
            local_files_only=True,
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{config.model_name} is not in the cache ({first_line(error)})") from None
    return Path(folder) / (file or "")
