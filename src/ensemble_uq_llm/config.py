"""Everything that a run depends on, as one flat frozen record.

The names and meanings of the specification's keys are fixed; every key says here what it does, and
`ensemble-uq init` writes these same sentences into a new YAML. Loading lives in `config_file.py`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from ensemble_uq_llm.config_problems import cross_problems, field_problems, told, unknown_keys
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.labels.answer_keys import Answers, answers_of
from ensemble_uq_llm.labels.class_keys import MOST_CLASSES, ClassNamesKey, ClassWeights
from ensemble_uq_llm.labels.class_names import FROM_DATA
from ensemble_uq_llm.labels.option_keys import OptionColumns
from ensemble_uq_llm.labels.option_letters import LETTERS, AnswerForm, names_options
from ensemble_uq_llm.utils.key_types import (
    MOST_LAYERS,
    MOST_MEMBERS,
    Count,
    CountOrZero,
    Draws,
    Flag,
    LongText,
    ModelName,
    Number,
    Rank,
    Seed,
    Text,
    UserPath,
)

TargetModule = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"]


EMBEDDED_MODEL = "embedded"
"""The model name of the small LLaMA that ships with the package."""


class _RaisesOurErrors(type(BaseModel)):  # type: ignore[misc]  # pydantic's metaclass has no public name
    def __call__(cls, **values: Any) -> Any:
        problems = [text for _, text in unknown_keys(values, Config.model_fields)]
        known = {key: value for key, value in values.items() if key in Config.model_fields}
        try:
            config = super().__call__(**known)
            if not problems:
                return config
        except ValidationError as error:
            details = error.errors()
            problems += [text for _, text in field_problems([each for each in details if each["loc"]])]
            problems += [each["msg"].removeprefix("Value error, ") for each in details if not each["loc"]]
        raise ConfigError("\n".join(told(problems)))


class Config(BaseModel, metaclass=_RaisesOurErrors):
    """The resolved configuration of a run; see each field's description.

    Raises:
        ConfigError: a value cannot be used, or a key is unknown; the message lists every problem.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    # Model
    model_name: ModelName = Field(
        "meta-llama/Llama-3.2-1B",
        description="The frozen base: a Hugging Face hub name, a local folder, a GGUF file, or `embedded`.",
    )
    model_revision: Text | None = Field(
        None, description="Branch, tag or commit of the hub model; null is its main branch."
    )
    allow_unproven_model: Flag = Field(
        False,
        description="Take a model type that is not proved to equal transformers, if it passes a comparison first.",
    )
    num_labels: Annotated[int, Field(strict=True, ge=2, le=MOST_CLASSES)] = Field(
        2, description="Number of classes, two or more; may be left out where `class_names` names them."
    )
    head: Literal["classification", "answer"] = Field(
        "classification",
        description="What gives the logits: a trained `classification` layer, or the base's own for each `answer`.",
    )
    answers: Answers | None = Field(
        None,
        description="With `head: answer`, the text that follows the prompt for each class, one token each; null is the "
        "class names, after a space.",
    )
    answer_mass: Flag = Field(
        False,
        description="With `head: answer`, predict also how probable the answers are among all tokens; costs a product "
        "with the whole LM head a row and member.",
    )
    max_length: Count = Field(512, description="Longest prompt in tokens; longer ones lose the end of `cut_column`.")

    # Data
    dataset: Text = Field(
        "boolq",
        description="A named data set: `synthetic` (embedded), or from the hub: `boolq`, `sst2`, `rte`, `ag_news`, "
        "`openbookqa`, `arc_easy`, `arc_challenge`, `commonsenseqa`, `winogrande_s` (xs to xl), `mmlu`.",
    )
    train_file: UserPath | None = Field(
        None, description="A JSONL, CSV, TSV or Parquet file to train on, instead of `dataset`."
    )
    validation_file: UserPath | None = Field(None, description="A file to evaluate on, instead of `dataset`.")
    prompt_template: LongText = Field(
        "Question: {question} Context: {passage}",
        description="The prompt, with column names in braces.",
    )
    chat_template: Flag = Field(
        False, description="Put the prompt into the tokenizer's chat template, as the message of a user."
    )
    append_eos: Flag = Field(False, description="End every prompt with the tokenizer's end-of-text token; else none.")
    cut_column: Text | None = Field(
        None, description="The column whose end is cut; null is `passage`, or else the prompt's last column."
    )
    label_column: Text | None = Field(
        None, description="The column of the label; null finds BoolQ's `answer` or `label`."
    )
    option_columns: OptionColumns | None = Field(
        None, description="A column with a list of options, or one for each, shown as {options}; null finds layouts."
    )
    answer_form: AnswerForm | None = Field(
        None,
        description="How an answer names its option: `letter`, `index` from 0, `number` from 1, or `text`; null is the "
        "layout's, else letter or text.",
    )
    id_column: Text | None = Field(
        None, description="The column of a unique id; null finds `id` or `idx`, else counts rows."
    )
    class_names: ClassNamesKey | None = Field(
        None,
        description="Class names in the order of their index; null is [no, yes] for two classes, else 0, 1, 2 ..., of "
        "multiple choice A, B, C ...; `from_data` takes the sorted labels of the training data.",
    )
    max_train_examples: Count | None = Field(None, description="Train on the first so many examples only; null is all.")
    max_validation_examples: Count | None = Field(None, description="Evaluate on the first so many only; null is all.")
    calibration_fraction: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of the training data held out for calibration, never trained or evaluated on."
    )
    calibration_seed: Seed = Field(0, description="Seed of the choice of the calibration split.")
    stopping_fraction: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.5,
        description="With `keep: best`, the share of the calibration split that chooses epochs and calibrates nothing.",
    )

    # Training
    batch_size: Count = Field(8, description="Sequences of one member in a micro-batch.")
    gradient_accumulation_steps: Count = Field(
        4, description="Micro-batches of an optimiser step: its batch is batch_size times this."
    )
    learning_rate: Annotated[Number, Field(gt=0)] = Field(2e-4, description="Peak learning rate of AdamW.")
    num_epochs: Count = Field(3, description="Passes over the training data.")
    warmup_steps: CountOrZero = Field(
        100, description="Optimiser steps of linear warm-up; linear decay to zero follows."
    )
    weight_decay: Annotated[Number, Field(ge=0)] = Field(0.01, description="AdamW's decoupled weight decay.")
    max_grad_norm: Annotated[Number, Field(ge=0)] = Field(
        1.0, description="Each member's gradient is clipped to this norm; 0 is off."
    )
    class_weights: ClassWeights | None = Field(
        None,
        description="Weights of the classes in the loss, in the order of their index; `balanced` gives equal shares.",
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="Each member's weights after its `last` epoch, or its `best` on a part of the calibration split.",
    )
    early_stopping_patience: Count | None = Field(
        None, description="With `keep: best`, epochs without a better one after which a member stops; null trains all."
    )
    validate_epochs: Flag = Field(True, description="After every epoch, measure the members on the evaluation split.")

    checkpoint_steps: Count | None = Field(
        None, description="Keep what continues an interrupted training after every so many steps; null: by time only."
    )
    checkpoint_minutes: Annotated[Number, Field(gt=0)] = Field(
        5.0, description="The same after so many minutes, and after every epoch, where it costs a fiftieth of the time."
    )
    resume: Flag = Field(
        True, description="Continue an interrupted training; false begins it anew, and its checkpoints go."
    )

    log_to: Literal["tensorboard", "wandb"] | None = Field(
        None, description="An experiment tracker that is told of training, beside events.jsonl; each is an extra."
    )

    # LoRA
    lora_r: Rank = Field(8, description="Rank of the adapters.")
    lora_alpha: Annotated[Number, Field(gt=0)] = Field(
        32, description="The adapter's output is scaled by lora_alpha / lora_r."
    )
    lora_dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.1, description="Dropout on an adapter's input in training."
    )
    lora_target_modules: tuple[TargetModule, ...] = Field(
        ("q_proj", "v_proj"),
        min_length=1,
        description="The linear layers that are adapted; `lm_head` with `head: answer` only.",
    )
    lora_layers: tuple[CountOrZero, ...] | None = Field(
        None,
        min_length=1,
        max_length=MOST_LAYERS,
        description="Indices of the decoder layers that are adapted, from 0; null is all.",
    )

    # Ensemble
    seeds: tuple[Seed, ...] = Field(
        tuple(range(42, 52)),
        min_length=1,
        max_length=MOST_MEMBERS,
        description="One member per seed: its initialisation, data order and dropout.",
    )
    num_ensemble_models: Count | None = Field(
        None, description="Number of members: the first so many of `seeds`; null is all of them."
    )

    # Evaluation
    bootstrap_draws: Draws = Field(1000, description="Bootstrap draws for the 95% intervals.")
    bootstrap_seed: Seed = Field(0, description="Seed of the bootstrap.")

    # Paths
    output_dir: UserPath = Field(Path("model_outputs"), description="The run folder.")
    cache_dir: UserPath | None = Field(
        Path("cache"), description="Where hub downloads are kept; null is the hub's own cache."
    )

    # Hardware
    use_bf16: Flag = Field(True, description="Hold and run the base in bfloat16 (also on CPU); false is float32.")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field(
        "auto", description="`auto`, `cpu`, `cuda` or `cuda:1`; `auto` takes a GPU where there is one."
    )
    num_gpus: CountOrZero = Field(1, description="GPUs to spread the members over; more than there are is a warning.")
    tokens_per_pass: Count | None = Field(
        None, description="Tokens in one pass, of which a CPU has one a core under way; null fits the free memory."
    )

    @property
    def member_seeds(self) -> tuple[int, ...]:
        """The seeds of the members that are trained and evaluated."""
        return self.seeds[: self.num_ensemble_models]

    @property
    def class_labels(self) -> tuple[str, ...]:
        """The name of every class, in the order of the class index.

        Raises:
            ConfigError: they are to be taken from the training data, and nobody has (`data.classes.with_classes`).
        """
        if self.class_names == FROM_DATA:
            raise ConfigError("class_names: from_data is not resolved; call with_classes on the configuration first")
        if self.class_names is not None:
            return self.class_names
        if names_options(self.prompt_template):
            return LETTERS[: self.num_labels]
        return ("no", "yes") if self.num_labels == 2 else tuple(str(c) for c in range(self.num_labels))

    @property
    def answer_texts(self) -> tuple[str, ...] | None:
        """What follows the prompt for every class, in the order of the class index; None without the answer head."""
        if self.head != "answer":
            return None
        return answers_of(self.answers, self.class_labels, self.prompt_template, is_chat=self.chat_template)

    @property
    def effective_batch_size(self) -> int:
        """Sequences of one member in an optimiser step."""
        return self.batch_size * self.gradient_accumulation_steps

    def optimizer_steps(self, examples: int) -> int:
        """Return the optimiser steps of training on so many examples; the last partial batch of an epoch counts."""
        return -(-examples // self.effective_batch_size) * self.num_epochs

    @model_validator(mode="before")
    @classmethod
    def _count_the_names(cls, values: Any) -> Any:
        names = values.get("class_names") if isinstance(values, dict) else None
        if isinstance(names, list | tuple) and len(names) > 1 and "num_labels" not in values:
            return {**values, "num_labels": len(names)}
        return values

    @model_validator(mode="after")
    def _keys_fit_together(self, info: ValidationInfo) -> Self:
        if info.context != SKIP_CROSS_CHECKS and (problems := [message for _, message in cross_problems(self)]):
            raise ValueError("; ".join(problems))
        return self


SKIP_CROSS_CHECKS = "skip cross checks"
"""Validation context with which a partly wrong configuration can be built, to find its other problems."""
