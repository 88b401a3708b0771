"""The data of one run: every split is loaded once and tokenised once, when it is first asked for."""

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.bag_design import design_of
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prepare import (
    digest_of,
    load_file,
    load_named,
    load_training,
    load_validation,
    split_held_out,
    tokenize,
)
from ensemble_uq_llm.data.prompts import parse_template
from ensemble_uq_llm.data.repeats import Repeats, count_repeats, others_than, texts_of, warn_of_seen
from ensemble_uq_llm.data.split import Split
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.run_folder import CALIBRATION, OUT_OF_BAG, VALIDATION, RunFolder
from ensemble_uq_llm.utils.text import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ensemble_uq_llm.data.bags.drawn_bags import Bags
    from ensemble_uq_llm.data.tokenize import TokenizedExamples


class PreparedSet:
    """The examples of one set, with their digest and their tokens."""

    def __init__(
        self, examples: list[Example], config: Config, *, left_out: "Mapping[int, NDArray[np.bool_]] | None" = None
    ) -> None:
        self.examples = examples
        self.left_out = left_out
        """Of training rows, which ones the members left out, by their seeds; None of other examples."""
        self._config = config
        self._tokens: TokenizedExamples | None = None

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the ids, texts and labels."""
        return digest_of(self.examples)

    def tokens(self, tokenizer: Any) -> "TokenizedExamples":
        """Return the tokens; the first call makes them, and a run has the tokenizer of one base only.

        Raises:
            DataError: a prompt that cannot be cut to `max_length`.
        """
        if self._tokens is None:
            self._tokens = tokenize(self._config, self.examples, tokenizer)
        return self._tokens


class Job:
    """What a run trains on and predicts, handed from stage to stage; nothing is loaded before it is asked for.

    Every set raises DataError where its data cannot be had or are not what the configuration says.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    @cached_property
    def split(self) -> Split:
        """The examples of the training data: those to train on, and those held out of them for calibration."""
        return load_training(self._config)

    @cached_property
    def train(self) -> PreparedSet:
        """What the members are trained on."""
        return PreparedSet(self.split.kept, self._config)

    @cached_property
    def bags(self) -> "Bags | None":
        """Which of these rows each member is trained on; None where every member is trained on all."""
        design = design_of(self._config)
        if design is None:
            return None
        from ensemble_uq_llm.data.bags.drawn_bags import draw_bags  # NumPy, which `validate` does without

        return draw_bags(design, len(self.train.examples))

    @cached_property
    def validation(self) -> PreparedSet:
        """The configuration's own evaluation split."""
        return PreparedSet(load_validation(self._config), self._config)

    @cached_property
    def calibration(self) -> PreparedSet:
        """What is held out of the training data to calibrate on, without the part that chooses epochs.

        Texts that are evaluated on are left out, with a warning of how many: nothing is fitted on those.

        Raises:
            DataError: nothing is held out, or nothing else than what is evaluated on.
        """
        return PreparedSet(self._held_out.kept, self._config)

    @cached_property
    def stopping(self) -> PreparedSet | None:
        """What chooses the members' best epochs: a part of what is held out; None where the last epoch is kept."""
        if self._config.keep == "last":
            return None
        return PreparedSet(self._held_out.held_out, self._config)

    @cached_property
    def _held_out(self) -> Split:
        """What is held out and not evaluated on: what calibrates, and what chooses epochs."""
        held_out = self.split.held_out
        if not held_out:
            raise DataError("calibration: nothing is held out; set calibration_fraction, such as 0.1, and train anew")
        template = parse_template(self._config.prompt_template)
        kept = others_than(held_out, texts_of(self.validation.examples, template), template)
        if not kept:
            raise DataError(
                f"calibration: each of the {counted(len(held_out), 'example')} held out repeats the text of an "
                "evaluation example, so none is left to calibrate on; evaluate on other texts than those of train_file"
            )
        if len(kept) < len(held_out):
            warnings.warn(
                f"calibration: {len(held_out) - len(kept):,} of {counted(len(held_out), 'example')} held out repeat "
                "the text of an evaluation example and are left out: nothing may be fitted on what is evaluated",
                stacklevel=2,
            )
        return split_held_out(self._config, kept)

    def out_of_bag(self) -> PreparedSet:
        """The training rows that members of the run have left out, with who has left out which.

        Texts that are evaluated on are left out, with a warning of how many: nothing is fitted on those.

        Raises:
            DataError: every member has seen every row, or no other rows than those that are evaluated.
            IntegrityError, ConfigError: nobody can say which rows the members have seen; as `recorded_bags`.
        """
        from ensemble_uq_llm.data.bags.recorded_bags import left_out_rows

        folder = RunFolder(self._config.output_dir)
        members = folder.members_of(self._config.member_seeds)
        train = self.train
        template = parse_template(self._config.prompt_template)
        others = others_than(train.examples, texts_of(self.validation.examples, template), template)
        apart = {example.id for example in others}
        if len(apart) < len(train.examples):
            warnings.warn(
                f"{OUT_OF_BAG}: {len(train.examples) - len(apart):,} of {counted(len(train.examples), 'training row')} "
                "repeat the text of an evaluation example and are left out: nothing may be fitted on what is evaluated",
                stacklevel=2,
            )
        wanted = [example.id in apart for example in train.examples]
        rows, left_out = left_out_rows(folder, members, wanted=wanted, data_digest=train.digest)
        return PreparedSet([train.examples[row] for row in rows], self._config, left_out=left_out)

    @cached_property
    def repeats(self) -> Repeats:
        """The texts that stand in more than one of the run's sets; the first look warns of them.

        Raises:
            DataError: as `calibration`, if anything is held out.
        """
        test, held_out = self.validation.examples, self.split.held_out
        template = parse_template(self._config.prompt_template)
        repeats = count_repeats(train=self.split.kept, held_out=held_out, test=test, template=template)
        calibration = len(self.calibration.examples) if held_out else 0
        warn_of_seen(repeats, test=len(test), calibration=calibration)
        return repeats

    def named(self, name: str) -> PreparedSet:
        """Return a named set: `validation`, `calibration`, `out_of_bag`, or another split, such as a shift."""
        if name == VALIDATION:
            return self.validation
        if name == CALIBRATION:
            return self.calibration
        if name == OUT_OF_BAG:
            return self.out_of_bag()
        return PreparedSet(load_named(self._config, name), self._config)

    def file(self, path: Path) -> PreparedSet:
        """Return the examples of any data file with the configuration's columns, labelled or not."""
        return PreparedSet(load_file(self._config, path), self._config)
