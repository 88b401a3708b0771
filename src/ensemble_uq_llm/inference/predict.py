"""Examples in, every member's logits out, and onto disk as the run's predictions."""

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prompts import parse_template
from ensemble_uq_llm.errors import DataError, IntegrityError, StorageError
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.inference.members import LoadedEnsemble
from ensemble_uq_llm.inference.shards import PASSES, Cut, KeptShards
from ensemble_uq_llm.labels.lacking_options import masked
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import Tell, member_logits
from ensemble_uq_llm.models.memory import naming_memory
from ensemble_uq_llm.models.pack import Tokens
from ensemble_uq_llm.predictions.left_out.left_out_cells import filled
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.run_folder import ANSWER_TOKENS, OUT_OF_BAG, RunFolder
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.utils.device import describe_device
from ensemble_uq_llm.utils.files import write_json, write_text
from ensemble_uq_llm.utils.lanes import lane_count
from ensemble_uq_llm.utils.provenance import with_stage


@naming_memory("prediction", "lower tokens_per_pass or max_length", "set use_bf16: true")
def predict_examples(
    loaded: LoadedEnsemble, prepared: PreparedSet, *, tell: Tell | None = None, kept: KeptShards | None = None
) -> Predictions:
    """Return every member's logits on the examples of a set, labelled or not, in their order.

    `tell` hears how far it is; `kept` has what an interrupted prediction left, and takes what this one makes.

    Raises:
        DataError: a prompt that cannot be cut to `max_length`. StopRequested: somebody asked for it.
    """
    sequences, left_out_MN = prepared.tokens(loaded.tokenizer).sequences, _left_out(loaded, prepared)
    logits = _in_shards(loaded, sequences, asked_MN=left_out_MN, tell=tell, kept=kept)
    return predictions_of(loaded, prepared, logits, left_out_MN)


def predictions_of(
    loaded: LoadedEnsemble, prepared: PreparedSet, logits: NDArray[np.float32], left_out_MN: NDArray[np.bool_] | None
) -> Predictions:
    """Return what the head gave of all members and examples, as a record; where `left_out_MN` is False it is nothing.

    A last logit beyond the classes is that of everything else.
    """
    tokens = prepared.tokens(loaded.tokenizer)
    truths = [example.true_probs for example in prepared.examples]
    known = [truth for truth in truths if truth is not None]
    if left_out_MN is not None:
        logits = filled(logits, left_out_MN)
    logits_MNC = np.ascontiguousarray(logits[..., : loaded.ensemble.spec.classes])
    return Predictions(
        ids=tokens.ids,
        labels=tuple(example.label for example in prepared.examples),
        members=loaded.ensemble.members,
        logits_MNC=masked(logits_MNC, tokens.options_N),
        answer_mass_MN=None if logits.shape == logits_MNC.shape else answer_mass(logits, tokens.options_N),
        true_probs_NC=np.array(known) if known and len(known) == len(truths) else None,
        left_out_MN=left_out_MN,
    )


def _left_out(loaded: LoadedEnsemble, prepared: PreparedSet) -> NDArray[np.bool_] | None:
    """Return, of training rows, which members left out which; raises DataError of members for which nobody knows."""
    if prepared.left_out is None:
        return None
    if loaded.foreign:
        raise DataError(f"{OUT_OF_BAG}: nobody can say which rows given adapters have not seen; predict other data")
    return np.stack([prepared.left_out[member.seed] for member in loaded.ensemble.members])


def answer_mass(logits: NDArray[np.float32], options_N: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Return the probability [M, N] of an example's answers together, where the last logit is that of everything else.

    An option that the example lacks is none of its answers.
    """
    log_probs_MNC = masked(log_softmax(logits)[..., :-1], options_N)
    mass_MN: NDArray[np.float64] = np.exp(log_probs_MNC).sum(axis=-1)
    return mass_MN


def _in_shards(
    loaded: LoadedEnsemble,
    sequences: Sequence[Tokens],
    *,
    asked_MN: NDArray[np.bool_] | None,
    tell: Tell | None,
    kept: KeptShards | None,
) -> NDArray[np.float32]:
    """Return every member's logits, shard by shard, going on after what is kept; where it is not asked, zeros."""
    ensemble, lengths = loaded.ensemble, [len(each) for each in sequences]
    members = len(ensemble.members)
    lanes = lane_count(next(ensemble.parameters()).device)
    cut, found = kept.read() if kept is not None else (None, [])
    cut = cut or Cut(budget=loaded.budget, shard=PASSES * lanes * loaded.budget)
    before = sum(each.shape[1] for each in found)
    with stop.held_back():
        for rows in cut.rows(lengths, members):
            if rows.start < before:
                continue

            def told(done: int, _of: int, start: int = rows.start) -> None:
                stop.check()
                if tell is not None:
                    tell(members * start + done, members * len(sequences))

            try:
                if asked_MN is None:
                    logits_MNC = member_logits(ensemble, sequences[rows], budget=cut.budget, tell=told)
                else:
                    logits_MNC = _asked_logits(ensemble, sequences[rows], asked_MN[:, rows], cut.budget, tell=told)
            except stop.StopRequested:
                if kept is not None:
                    kept.keep(cut)
                raise
            found.append(logits_MNC)
            if kept is not None:
                kept.add(logits_MNC, cut)
    return np.concatenate(found, axis=1) if found else np.empty((members, 0, ensemble.head.width), np.float32)


def _asked_logits(
    ensemble: StackedEnsemble, sequences: Sequence[Tokens], asked_MN: NDArray[np.bool_], budget: int, *, tell: Tell
) -> NDArray[np.float32]:
    """Return every member's logits of the sequences that it is asked about, and zeros of the others."""
    logits_MNC = np.zeros((*asked_MN.shape, ensemble.head.width), dtype=np.float32)
    for member, asked_N in enumerate(asked_MN):
        rows = np.flatnonzero(asked_N).tolist()
        if rows:
            own = [sequences[row] for row in rows]
            start, each = member * len(sequences), len(sequences) / len(own)

            def told(done: int, _of: int, start: int = start, each: float = each) -> None:
                tell(start + round(done * each), asked_MN.size)

            logits_MNC[member, rows] = member_logits(ensemble, own, budget=budget, members=[member], tell=told)[0]
    return logits_MNC


def prediction_settings(config: Config) -> dict[str, Any]:
    """Return the keys of a configuration that turn an example into numbers, beside the members and their base."""
    always = {"prompt_template", "max_length", "cut_column", "use_bf16"}
    switches = {"chat_template", "append_eos", "answer_mass"}
    on = {key for key in switches if getattr(config, key)}  # off, as before there were any
    settings = config.model_dump(mode="json", include=always | on)
    return settings if config.answer_texts is None else {**settings, "answers": list(config.answer_texts)}


def origin_of(loaded: LoadedEnsemble, config: Config, *, data: str = "", source: str | None = None) -> Origin:
    """Return what makes predictions by these members, of data of that digest from that source."""
    return Origin(
        weights=loaded.weights,
        base=loaded.base_digest,
        data=data,
        foreign=loaded.foreign,
        source=source,
        settings=prediction_settings(config),
        scales=loaded.scales,
    )


def write_set(
    loaded: LoadedEnsemble,
    prepared: PreparedSet,
    config: Config,
    *,
    name: str,
    source: str | None = None,
    tell: Tell | None = None,
) -> Path:
    """Predict a set and write it to the run folder as `predictions/NAME.parquet`, its texts beside it.

    `source` says what it is: the name of a set, or the absolute path of a data file; `tell` hears
    how far the prediction is.

    Raises:
        DataError: as `predict_examples`. ConfigError: `name` cannot be a file name.
    """
    started = time.monotonic()
    folder, examples = RunFolder(config.output_dir), prepared.examples
    folder.predictions(name)  # a name that cannot be a file's is refused before any work
    origin = origin_of(loaded, config, data=prepared.digest, source=source)
    kept = KeptShards(folder=folder.kept_shards(name), made=asdict(origin))
    predictions = replace(predict_examples(loaded, prepared, tell=tell, kept=kept), origin=origin)
    template = parse_template(config.prompt_template)
    lines = (json.dumps({"id": e.id, "text": template.render(e.fields)}, ensure_ascii=False) for e in examples)
    record = with_stage(
        folder.record(),
        "predict",
        seconds=time.monotonic() - started,
        name=name,
        examples=len(examples),
        members=len(loaded.ensemble.members),
        device=describe_device(next(loaded.ensemble.parameters()).device),
        data_digest=prepared.digest,
        cut=prepared.tokens(loaded.tokenizer).num_cut,
    )
    if loaded.answer_tokens is not None:
        record.setdefault(ANSWER_TOKENS, list(loaded.answer_tokens))
    with folder.change() as change:
        new = RunFolder(change.root)
        write_predictions(new.predictions(name), predictions)
        write_text(new.examples(name), "\n".join(lines) + "\n")
        write_json(new.run_record, record)
        own = [] if loaded.foreign else [folder.member_weights(member) for member in loaded.ensemble.members]
        made_from = {"base": origin.base, "data": origin.data, **folder.digests(own)}
        for path in (folder.predictions(name), folder.examples(name)):
            change.binds(path, made_from)
    try:
        kept.clear()
    except (IntegrityError, StorageError) as error:  # the predictions are there
        warnings.warn(f"{error}; the predictions are written", stacklevel=2)
    return folder.predictions(name)
