"""From a configuration to the examples of a split, and from examples to tokens."""

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.datasets import SplitRequest, find_dataset, load_split
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prompting.chat_template import chat_frame
from ensemble_uq_llm.data.prompting.frame import Frame
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.split import Split, hold_out
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.utils.text import enumerated, listed

if TYPE_CHECKING:
    from ensemble_uq_llm.data.tokenize import TokenizedExamples

FILE_KEYS: Final = ("train_file", "validation_file")


def load_training(config: Config) -> Split:
    """Return the training examples, and those held out of them for calibration (none if not asked for).

    Raises:
        DataError: the data cannot be had or are not what the configuration says. ConfigError: the evaluation split is
            a file, and nothing says what to train on.
    """
    check_named(config, "train_file", beside="validation_file", verb="train")
    examples = _load(config, "train", file=config.train_file, size=config.max_train_examples, labelled=True)
    if config.calibration_fraction == 0:
        return Split(kept=examples, held_out=[])
    return hold_out(examples, fraction=config.calibration_fraction, seed=config.calibration_seed)


def split_held_out(config: Config, held_out: list[Example]) -> Split:
    """Return the calibration split, and held out of it what chooses epochs (nothing but with `keep: best`).

    Raises:
        DataError: one part would be empty.
    """
    if config.keep != "best":
        return Split(kept=held_out, held_out=[])
    return hold_out(held_out, fraction=config.stopping_fraction, seed=config.calibration_seed)


def class_weights(config: Config, examples: Sequence[Example]) -> tuple[float, ...] | None:
    """Return the classes' weights in the loss of training on these examples; None where all count alike.

    `balanced` weights are those of scikit-learn: n / (C * n_c), so that every class has the same share of the loss.

    Raises:
        DataError: a class has no example, so that there are no balanced weights.
    """
    if config.class_weights != "balanced":
        return config.class_weights
    counts = Counter(example.label for example in examples)
    if absent := [name for c, name in enumerate(config.class_labels) if not counts[c]]:
        raise DataError(
            f"class_weights: balanced needs training examples of every class, and there is none of {listed(absent)}; "
            "add some, or give the weights as a list"
        )
    return tuple(len(examples) / (config.num_labels * counts[c]) for c in range(config.num_labels))


def load_validation(config: Config) -> list[Example]:
    """Return the examples of the configuration's own evaluation split.

    Raises:
        DataError: as `load_training`. ConfigError: the training data are a file, and nothing says what to evaluate on.
    """
    check_named(config, "validation_file", beside="train_file", verb="evaluate")
    return _load(config, "validation", file=config.validation_file, size=config.max_validation_examples, labelled=False)


def load_named(config: Config, name: str) -> list[Example]:
    """Return another split of the configuration's data set, such as a named shift.

    Raises:
        DataError: as `load_training`; or the data are files of other classes than the data set's.
    """
    own = [key for key in FILE_KEYS if getattr(config, key) is not None]
    if own and find_dataset(config.dataset).class_names != config.class_labels:
        raise DataError(
            f"{name!r}: no set of that name: the data are those of {enumerated(own)}; name a data file by its path, "
            f"with its ending or as ./{name}"
        )
    return _load(config, name, file=None, size=None, labelled=False)


def load_file(config: Config, path: Path) -> list[Example]:
    """Return the examples of any data file with the configuration's columns, labelled or not.

    Raises:
        DataError: as `load_training`.
    """
    return _load(config, "file", file=path, size=None, labelled=None)


def tokenize(config: Config, examples: list[Example], tokenizer: Any) -> "TokenizedExamples":
    """Tokenise the examples' prompts as the configuration says, with a base's tokenizer (`load_tokenizer`).

    Raises:
        DataError: a prompt that cannot be cut to `max_length`, or with a token that the base does not have.
        ConfigError: a chat is asked for, and the tokenizer has no template that can be used.
    """
    from ensemble_uq_llm.data.tokenize import tokenize_examples  # NumPy, which `validate` does without

    return tokenize_examples(
        examples,
        tokenizer=tokenizer.tokenizer,
        template=config.prompt_template,
        max_length=config.max_length,
        cut_column=config.cut_column,
        # A language model is read at its last token, whichever that is: only classifiers look for one before padding.
        pad_token=None if config.head == "answer" else tokenizer.pad_token,
        embeddings=tokenizer.embeddings,
        frame=frame_of(config, tokenizer.tokenizer),
    )


def frame_of(config: Config, tokenizer: Any) -> Frame:
    """Return what the configuration puts around every prompt, with a tokenizer of transformers.

    Raises:
        ConfigError: a chat is asked for, and the tokenizer has no template that can be used.
    """
    if config.chat_template:
        return chat_frame(tokenizer, ends=config.append_eos)
    return Frame(ends=config.append_eos)


def digest_of(examples: Iterable[Example]) -> str:
    """Return the SHA-256 of the examples' ids, texts and labels, in their order."""
    digest = hashlib.sha256()
    for example in examples:
        row = [example.id, sorted(example.fields.items()), example.label]
        row += [] if example.options is None else [example.options]
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()


def check_named(config: Config, key: str, *, beside: str, verb: str) -> None:
    """Refuse to put the default data set beside a file of the user's: it would be another task.

    A data set that the configuration itself names, of the same classes, is taken, with a warning.

    Raises:
        ConfigError: `key` names no file, `beside` does, and `dataset` is not given or has other classes.
    """
    if getattr(config, key) is not None or getattr(config, beside) is None:
        return
    given = "dataset" in config.model_fields_set
    is_same_task = find_dataset(config.dataset).class_names == config.class_labels
    if not (given and is_same_task):
        other = f", or write dataset: {config.dataset} if its rows are what you want to {verb} on"
        instead = other if is_same_task else ""
        raise ConfigError(f"{key}: not given beside {beside}; name the file to {verb} on{instead}")
    warnings.warn(f"{key}: not given beside {beside}, so it is data set {config.dataset!r} to {verb} on", stacklevel=3)


def _load(config: Config, split: str, *, file: Path | None, size: int | None, labelled: bool | None) -> list[Example]:
    """Load a split; `labelled` False allows rows without a label, None allows data without the label's column."""
    request = SplitRequest(dataset=config.dataset, split=split, file=file, cache_dir=config.cache_dir, size=size)
    columns = Columns.of(config, class_names=config.class_labels, require_labels=bool(labelled))
    return load_split(request, replace(columns, label_may_be_absent=labelled is None))
