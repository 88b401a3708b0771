"""What checks have found so far, so that each goes on where another has failed, and all problems are told at once."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ensemble_uq_llm.errors import ConfigError, EnsembleUQError, MissingExtraError, UnreachableModelError

DATA_KEYS: Final = {
    "dataset", "train_file", "validation_file", "prompt_template", "cut_column", "label_column", "id_column",
    "chat_template", "append_eos",
    "class_names", "num_labels", "max_train_examples", "max_validation_examples", "calibration_fraction",
}  # fmt: skip
ANSWER_KEYS: Final = {"head", "answers", "class_names", "num_labels", "prompt_template"}
MODEL_KEYS: Final = {"model_name", "model_revision", "allow_unproven_model", "lora_target_modules", "lora_layers"}


class CheckList:
    """What the checks have found so far: facts by name, problems, and what could not be checked."""

    def __init__(self, problems: Sequence[EnsembleUQError], wrong: Collection[str]) -> None:
        self.facts: dict[str, Any] = {}
        self.problems = list(problems)
        self.not_checked: list[str] = []
        self._wrong = set(wrong)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Within it, whatever is wrong is noted, and ends that check only."""
        try:
            yield
        except UnreachableModelError as error:
            self.not_checked.append(str(error))
        except MissingExtraError as error:
            self.not_checked.append(f"model, tokens, device and members ({error})")
        except EnsembleUQError as error:
            self.problems.append(error)
        except OSError as error:
            self.problems.append(ConfigError(f"{error.filename}: {error.strerror}; make it usable, or name another"))

    def are_right(self, keys: Collection[str]) -> bool:
        """Tell whether none of these keys has a value that is wrong by itself: what follows from one is no finding."""
        return not self._wrong & set(keys)

    def raise_if_any(self) -> None:
        """Raise all problems as one error, each on its own lines: a ConfigError unless all are of one other kind."""
        if not self.problems:
            return
        kinds = {type(problem) for problem in self.problems}
        kind = kinds.pop() if len(kinds) == 1 else ConfigError
        raise kind("\n".join(dict.fromkeys(line for problem in self.problems for line in str(problem).split("\n"))))
