"""What a run folder tells of how its predictions came about, beside what they tell themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.evaluation.protocol.known_of_predictions import common, typed, typed_list
from ensemble_uq_llm.evaluation.protocol.protocol_in_words import TRAINING
from ensemble_uq_llm.member import member_of_folder
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.run_folder import ANSWER_TOKENS, CALIBRATION, OUT_OF_BAG, VALIDATION, RunFolder

_ALL: Final = "all"


def known_of_run(folder: RunFolder, name: str, origin: Origin | None) -> dict[str, Any]:
    """Return the fields of the protocol that a run folder tells of one of its predicted sets; the others are left out.

    Args:
        folder: the run.
        name: of the set.
        origin: of its predictions; where nobody knows it, nothing in the folder is known to be about them.

    Raises:
        ConfigError: the run's `config.yaml` cannot be used.
        IntegrityError: it, `run.json` or the record of a member is torn, or was altered.
    """
    if origin is None:
        return {}
    record = folder.record()
    config = load_config(folder.root) if folder.has(folder.config) else None
    members = {} if origin.foreign else _member_records(folder, origin)
    stages = [stage for stage in record["stages"] if isinstance(stage, Mapping)]
    known = _known_of_stages(stages, name, origin, common(members))
    if config is not None:
        bases = {typed(stage["base_digest"], str) for stage in stages if "base_digest" in stage}
        known |= _known_of_config(config, origin, is_own_base=not bases or bases == {origin.base})
        known["evaluated_on"] = _evaluated_on(config, origin)
    if "answers" in origin.settings:
        known["answer_token_ids"] = typed_list(record.get(ANSWER_TOKENS), int)
    if members:
        known["maker"] = typed(common(_makers(members)).get("maker"), str)
        if all("settings" in each for each in members.values()):
            known |= _known_of_members(members)
        else:  # samples of adapters that were made elsewhere
            known.pop("trained_on", None)
    return {field: value for field, value in known.items() if value not in (None, ())}


def _member_records(folder: RunFolder, origin: Origin) -> dict[str, dict[str, Any]]:
    """Return the records of the members that predicted, by folder; none where one is not there."""
    found = {}
    for folder_name in origin.weights:
        member = member_of_folder(folder_name)
        if member is None or not folder.has(path := folder.member_record(member)):
            return {}
        record = folder.read_object(path, remedy=f"delete {path.parent} and train again to get the member back")
        found[folder_name] = _with_training_of_parent(record)
    return found


def _makers(members: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {"maker": record.get("maker", TRAINING)} for name, record in members.items()}


def _with_training_of_parent(record: dict[str, Any]) -> dict[str, Any]:
    """Return a member's record; of a sample, with what its parent's says of training."""
    parent = record.get("parent")
    training = parent.get("training") if isinstance(parent, dict) else None
    return {**training, **record} if isinstance(training, dict) else record


def _known_of_config(config: Config, origin: Origin, *, is_own_base: bool) -> dict[str, Any]:
    """Return the names of base and training data, where these are the configuration's own."""
    known: dict[str, Any] = {}
    if is_own_base:
        name = config.model_name
        is_path = Path(name).is_absolute() or name.startswith((".", "~"))
        known = {"base": Path(name).name if is_path else name, "base_revision": config.model_revision}
    if not origin.foreign:
        known["trained_on"] = config.dataset if config.train_file is None else config.train_file.name
    return known


def _evaluated_on(config: Config, origin: Origin) -> str | None:
    """Return the name of what was predicted: a file, or a data set with its split."""
    if origin.source is None or Path(origin.source).is_absolute():
        return None if origin.source is None else Path(origin.source).name
    if origin.source == CALIBRATION:
        return "held out of the training data"
    if origin.source == OUT_OF_BAG:
        return "the training data, by the members that left it out"
    if origin.source == VALIDATION and config.validation_file is not None:
        return config.validation_file.name
    return f"{config.dataset}[{origin.source}]"


def _known_of_stages(
    stages: Sequence[Mapping[str, Any]], name: str, origin: Origin, making: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how many rows were trained on and how many prompts were cut, by the stages that were about these data."""
    known: dict[str, Any] = {}
    for stage in stages:
        digest, cut = stage.get("data_digest"), typed(stage.get("cut"), int)
        if stage.get("stage") == "train" and digest is not None and digest == making.get("data_digest"):
            known |= {"train_rows": typed(stage.get("examples"), int), "train_rows_cut": cut}
        if stage.get("stage") == "predict" and stage.get("name") == name and digest == origin.data:
            known["evaluated_rows_cut"] = cut
    return known


def _known_of_members(members: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return how the members were trained; a key that an earlier version did not have did what its default does."""
    records = list(members.values())
    defaults = {key: field.default for key, field in Config.model_fields.items()}
    settings = common({name: defaults | (typed(each.get("settings"), dict) or {}) for name, each in members.items()})
    micro, several = (typed(settings.get(key), int) for key in ("batch_size", "gradient_accumulation_steps"))
    layers, epochs = settings.get("lora_layers", ()), typed(settings.get("num_epochs"), int)
    keep = settings["keep"] if settings.get("keep") in ("last", "best") else None
    last = () if epochs is None else (epochs,)
    return {
        "trained_on_digest": typed(common(members).get("data_digest"), str),
        "steps": _alike(typed_list([each.get("steps") for each in records], int)),
        "keep": keep,
        "kept_epochs": _alike(typed_list([each.get("kept_epoch") for each in records], int))
        if keep == "best"
        else last,
        "batch": None if micro is None or several is None else micro * several,
        "epochs": epochs,
        "learning_rate": typed(settings.get("learning_rate"), float),
        "warmup_steps": typed(settings.get("warmup_steps"), int),
        "weight_decay": typed(settings.get("weight_decay"), float),
        "max_grad_norm": typed(settings.get("max_grad_norm"), float),
        "lora_dropout": typed(settings.get("lora_dropout"), float),
        "class_weights": _class_weights(settings),
        "modules": typed_list(settings.get("lora_target_modules"), str),
        "layers": _ALL if layers is None else _ranges(typed_list(layers, int)),
        "lora_r": typed(settings.get("lora_r"), int),
        "lora_alpha": typed(settings.get("lora_alpha"), float),
    }


def _class_weights(settings: Mapping[str, Any]) -> str | None:
    weights = settings.get("class_weights", ())
    if weights is None:
        return "none"
    return typed(weights, str) or ", ".join(f"{each:g}" for each in typed_list(weights, float)) or None


def _alike(values: tuple[int, ...]) -> tuple[int, ...]:
    """Return one number where all are the same."""
    return values[:1] if len(set(values)) == 1 else values


def _ranges(numbers: Sequence[int]) -> str | None:
    """Return numbers with what follows on each other as one range: `2, 5-7`."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return ", ".join(str(each[0]) if len(each) == 1 else f"{each[0]}-{each[-1]}" for each in ranges) or None
