"""The main path of training: read this file first, then `epochs.py` and `step.py`.

`train` is the whole job: data, base, the members that are missing, the epochs, and the adapter folders.
"""

import time
from collections.abc import Sequence

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml
from ensemble_uq_llm.data.check import warn_if_warmup_outlasts
from ensemble_uq_llm.data.prepare import digest_of, load_training, load_validation, tokenize
from ensemble_uq_llm.errors import MembersFailedError
from ensemble_uq_llm.models.adapter_spec import spec_of
from ensemble_uq_llm.models.base import base_digest, device_of, find_base, load_decoder, load_tokenizer
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData, train_ensemble
from ensemble_uq_llm.training.event_log import EventLog
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.member_record import check_same_making
from ensemble_uq_llm.training.outcome import MemberOutcome
from ensemble_uq_llm.training.save import save_members
from ensemble_uq_llm.utils.files import write_text
from ensemble_uq_llm.utils.provenance import record_stage


def train(config: Config, *, listeners: Sequence[Listener] = ()) -> RunFolder:
    """Train the members that the run folder lacks, jointly, and save each as a PEFT adapter folder.

    A member is its seed: training some now and others later gives what training all at once gives.

    Raises:
        ConfigError, ModelError, DataError: nothing was trained; the message says what to change.
        MembersFailedError: some members diverged; the others are saved.
    """
    started = time.monotonic()
    folder = RunFolder(config.output_dir)
    examples = load_training(config).kept
    base = find_base(config)
    digests = {"data_digest": digest_of(examples), "base_digest": base_digest(base)}
    warn_if_warmup_outlasts(config, len(examples))
    finished = folder.member_seeds()
    check_same_making(folder, finished, config, **digests)
    missing = [seed for seed in config.member_seeds if seed not in finished]
    if not missing:
        return folder

    tokenizer = load_tokenizer(base)
    data = TrainingData(
        train=tokenize(config, examples, tokenizer),
        validation=tokenize(config, load_validation(config), tokenizer),
    )
    decoder = load_decoder(base, device=device_of(config), bf16=config.use_bf16)
    ensemble = StackedEnsemble(decoder, spec=spec_of(config, decoder), seeds=missing)

    write_text(folder.config, config_to_yaml(config))
    with folder.events.open("a", encoding="utf-8") as stream:
        outcomes = train_ensemble(ensemble, data, config, listeners=[EventLog(stream), *listeners])
    save_members(ensemble, outcomes, folder, config=config, **digests)
    record_stage(
        folder.run_record,
        "train",
        seconds=time.monotonic() - started,
        seeds=missing,
        train=data.train.describe(),
        validation=data.validation.describe(),
        **digests,
    )
    _raise_if_any_failed(outcomes, folder, config)
    return folder


def _raise_if_any_failed(outcomes: Sequence[MemberOutcome], folder: RunFolder, config: Config) -> None:
    failed = {outcome.seed: outcome.diverged_at for outcome in outcomes if outcome.diverged_at is not None}
    if not failed:
        return
    listing = ", ".join(f"seed {seed} at step {step}" for seed, step in failed.items())
    saved = (
        f"the other {len(outcomes) - len(failed)} are saved in {folder.root}"
        if len(failed) < len(outcomes)
        else "none is saved"
    )
    raise MembersFailedError(
        f"{len(failed)} of {len(outcomes)} members diverged ({listing}); {saved}. Lower learning_rate (now "
        f"{config.learning_rate:g}) or max_grad_norm (now {config.max_grad_norm:g}), in a new output_dir"
    )
