"""A run of samples made of a run's members: what `ensemble-uq posterior` and `Run.posterior` call."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.job import Job, PreparedSet
from ensemble_uq_llm.data.tokenize import UNLABELLED
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.inference.members import LoadedEnsemble, load_members
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.posteriors.maker import LabelledRows, Maker, Need, Parents, Tell, seeded
from ensemble_uq_llm.posteriors.registry import maker_of
from ensemble_uq_llm.posteriors.sample_folders import Lineage, parent_of, write_samples
from ensemble_uq_llm.predictions.origin import titles
from ensemble_uq_llm.run_folder import ANSWER_TOKENS, RunFolder
from ensemble_uq_llm.samples.posterior_record import (
    POSTERIOR,
    PosteriorRecord,
    posterior_folder,
    posterior_of,
    warn_of_few,
)
from ensemble_uq_llm.sampling.further_training import bags_of, further_training, watching_rows
from ensemble_uq_llm.sampling.making_display import MakingDisplay
from ensemble_uq_llm.training.from_config import base_name
from ensemble_uq_llm.training.walking.variational_walk import variational_walk
from ensemble_uq_llm.training.walking.walk import walk
from ensemble_uq_llm.utils.files import AnyPath, as_path, write_json, write_text
from ensemble_uq_llm.utils.key_types import MOST_SAMPLES
from ensemble_uq_llm.utils.provenance import with_stage
from ensemble_uq_llm.utils.text import clipped


def posterior(
    config: Config, maker: str, *, samples: int, output: AnyPath | None, settings: Mapping[str, float]
) -> Config:
    """Make samples by a maker's name and settings, as Python's callers say them; see `make_posterior`."""
    if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= MOST_SAMPLES:
        raise ConfigError(f"samples: must be a whole number of 1 to {MOST_SAMPLES:,}, found {clipped(samples)}")
    made_by = maker_of(maker, {key: str(value) for key, value in settings.items()})
    return make_posterior(
        config, made_by, samples=samples, output=None if output is None else as_path(output, "output")
    )


def make_posterior(
    config: Config,
    maker: Maker,
    *,
    samples: int,
    output: Path | None = None,
    adapters: Sequence[Path] = (),
    seed: int = 0,
    job: Job | None = None,
    console: Console | None = None,
) -> Config:
    """Make samples of every member of a run at once, and a run of them; return that run's configuration.

    Where these very samples are there already, they are left as they are.

    Args:
        config: of the run whose members are sampled.
        maker: what makes the samples.
        samples: of each member.
        output: the new run's folder; beside the run without.
        adapters: PEFT folders to sample in place of the run's members.
        seed: another one draws other samples.
        job: the configuration's data, where another stage has loaded them.
        console: where the progress is shown.

    Raises:
        ConfigError: a member that was not trained, or a folder that holds something else. DataError: rows that the
            maker needs cannot be had. IntegrityError: a member was altered, or has no such samples.
    """
    started = time.monotonic()
    folder = RunFolder(output or posterior_folder(config.output_dir, maker.name))
    _check_output(folder, config)
    loaded = load_members(config, adapters=adapters)
    _check_are_trained(loaded)
    record = PosteriorRecord(
        maker=maker.name,
        settings=asdict(maker),
        samples=samples,
        generator_seed=seed,
        parents=loaded.weights,
        parent_run=None if adapters else str(config.output_dir.absolute()),
    )
    own = config.model_copy(
        update={
            "output_dir": folder.root,
            "seeds": tuple(member.seed for member in loaded.ensemble.members),
            "num_ensemble_models": None,
            "posterior": None,
            "bootstrap": None,  # a maker may look at any row: no sample is known to have left one out
        }
    )
    with folder.owned("posterior"):
        if _is_there(folder, record):
            return own
        warn_of_few(folder.root, record)
        members = len(loaded.ensemble.members)
        with MakingDisplay(
            console or Console(quiet=True), maker=maker.name, samples=samples, members=members
        ) as display:
            parents = _parents(config, loaded, maker, job or Job(config), tell=display)
            made = maker.make(parents, samples, seeded(maker.name, seed=seed))
        lineage = _lineage(config, loaded, maker, adapters=adapters, seed=seed)
        finished = replace(record, seconds=round(time.monotonic() - started, 3))
        with folder.change() as change:
            write_samples(loaded.ensemble, made, change, lineage=lineage)
            new = RunFolder(change.root)
            write_text(new.config, config_to_yaml(with_absolute_paths(own)))
            write_json(new.run_record, _run_record(RunFolder(config.output_dir), loaded, finished))
    return own


def _check_output(folder: RunFolder, config: Config) -> None:
    """Refuse a folder in which something else than samples is; raises ConfigError."""
    if folder.root.absolute() == config.output_dir.absolute():
        raise ConfigError(f"--output: {folder.root} is the run itself; name another folder for its samples")
    if folder.holds_run() and posterior_of(folder.record()) is None:
        raise ConfigError(f"--output: {folder.root} is a run that was trained; name another folder for the samples")


def _check_are_trained(loaded: LoadedEnsemble) -> None:
    if samples := [member for member in loaded.ensemble.members if member.sample]:
        raise ConfigError(
            f"{titles(samples[:3])}: made by a maker already, and samples are made of trained members; name the run "
            "that trained them"
        )


def _is_there(folder: RunFolder, wanted: PosteriorRecord) -> bool:
    """Tell whether a folder holds these very samples; raises ConfigError where it holds others."""
    there = posterior_of(folder.record())
    if there is None:
        return False
    if not there.is_made_like(wanted):
        raise ConfigError(
            f"--output: {folder.root} holds {there.samples} samples a member by {there.maker}, made otherwise (its "
            "run.json says how); name another folder, or delete that one"
        )
    folder.check_members([each.seed for each in folder.members()])
    return True


def _parents(config: Config, loaded: LoadedEnsemble, maker: Maker, job: Job, *, tell: Tell) -> Parents:
    """Return the members with the rows that the maker needs."""

    def rows(need: Need, prepared: str) -> LabelledRows | None:
        return _labelled(getattr(job, prepared), loaded) if need in maker.needs else None

    trains = Need.TRAINING_STEPS in maker.needs
    watching = watching_rows(config, job) if trains and not loaded.foreign else None
    return Parents(
        ensemble=loaded.ensemble,
        budget=loaded.budget,
        anchor=rows(Need.ANCHOR_ROWS, "calibration"),
        training=_seen(rows(Need.TRAINING_ROWS, "train"), config, loaded, job),
        dropouts=loaded.dropouts,
        walk=further_training(config, loaded, job, by=walk, tell=tell) if trains else None,
        vary=further_training(config, loaded, job, by=variational_walk, tell=tell) if trains else None,
        watched_by=None if watching is None else watching.digest,
        tell=tell,
    )


def _seen(rows: LabelledRows | None, config: Config, loaded: LoadedEnsemble, job: Job) -> LabelledRows | None:
    """Return training rows with which of them each member has seen; of members made elsewhere nobody knows."""
    bags = None if rows is None or loaded.foreign else bags_of(config, loaded, job)
    if rows is None or bags is None:
        return rows
    return replace(rows, seen_MN=np.array([~bags.left_out_of(member.seed) for member in loaded.ensemble.members]))


def _labelled(prepared: PreparedSet, loaded: LoadedEnsemble) -> LabelledRows:
    tokens = prepared.tokens(loaded.tokenizer)
    if (tokens.labels_N == UNLABELLED).any():
        raise DataError("posterior: some of the rows that the maker needs have no label; give every row one")
    return LabelledRows(
        sequences=tokens.sequences, labels_N=tokens.labels_N, options_N=tokens.options_N, digest=prepared.digest
    )


def _lineage(config: Config, loaded: LoadedEnsemble, maker: Maker, *, adapters: Sequence[Path], seed: int) -> Lineage:
    run, members = RunFolder(config.output_dir), loaded.ensemble.members
    folders = list(adapters) or [run.member(member) for member in members]
    records = [None if adapters else run.read_object(run.member_record(each), remedy="restore it") for each in members]
    digests = [None if record is None else record.get("data_digest") for record in records]
    return Lineage(
        maker=maker,
        generator_seed=seed,
        parents=[
            parent_of(folder, loaded.weights[member.folder_name], record)
            for member, folder, record in zip(members, folders, records, strict=True)
        ],
        base_digest=loaded.base_digest,
        data_digests=digests,
        base=base_name(config),
    )


def _run_record(run: RunFolder, loaded: LoadedEnsemble, posterior: PosteriorRecord) -> Mapping[str, Any]:
    """Return what the new run says of itself, with how its parents were trained, and their base's files."""
    members = [
        MemberId(member.seed, sample).folder_name
        for member in loaded.ensemble.members
        for sample in range(1, posterior.samples + 1)
    ]
    own = run.record()
    trained = [stage for stage in own["stages"] if posterior.parent_run and stage.get("stage") == "train"]
    record = with_stage(
        {"stages": trained}, POSTERIOR, seconds=posterior.seconds, maker=posterior.maker, samples=posterior.samples
    )
    record |= {"state": "finished", "members": members, "failed": {}, POSTERIOR: asdict(posterior)}
    if known := own.get("base_files"):
        record["base_files"] = known
    if loaded.answer_tokens is not None:
        record[ANSWER_TOKENS] = list(loaded.answer_tokens)
    return record
