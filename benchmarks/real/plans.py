"""What is run on each real task: which rows, which heads, and the settings that all share."""

from dataclasses import dataclass, field
from typing import Any, Final

CLASSIFICATION: Final = "classification"
ANSWER: Final = "answer"

SETTINGS: Final[dict[str, Any]] = {
    # Adapters on the upper half of SmolLM2-135M's 30 layers: what lies below is computed once and kept.
    "lora_layers": list(range(15, 30)),
    "lora_target_modules": ["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "learning_rate": 5e-4,
    "warmup_steps": 10,
    "batch_size": 8,
    "gradient_accumulation_steps": 2,
    "num_epochs": 1,
    "calibration_fraction": 0.1,
    "calibration_seed": 0,
    "seeds": list(range(42, 52)),
    # Many a CPU multiplies matrices of float32 faster than of bfloat16: that of docs/results.md twice as fast.
    "use_bf16": False,
    # What predict does anyway, once: with one epoch the members would be measured twice.
    "validate_epochs": False,
}
"""Keys of every run; all others are at their defaults, such as rank and dropout."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One task: its files, how many rows of each, and what differs from `SETTINGS`."""

    task: str
    """As `ensemble-uq init --task` knows it."""
    train_file: str
    """In the data folder, as the test file; rows are drawn by a fixed seed, never from the other file."""
    test_file: str
    split: str
    """What the test file is of the official data."""
    train_rows: int
    test_rows: int | None = None
    """None: all of the file."""
    heads: tuple[str, ...] = (CLASSIFICATION, ANSWER)
    answers: tuple[str, ...] | None = None
    """Of the answer head, in the order of the classes; None for the classes' own names."""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def is_choice(self) -> bool:
        """Whether it is multiple choice, where a trained head has nothing to hold on to."""
        return CLASSIFICATION not in self.heads

    def config(self, head: str) -> dict[str, Any]:
        """Return the keys of a run with this head, but for its paths."""
        answers = {"answers": list(self.answers)} if self.answers and head == ANSWER else {}
        mass = {"answer_mass": True} if head == ANSWER else {}
        return {**SETTINGS, **self.settings, "head": head, **answers, **mass}


PLANS: Final = (
    Plan(
        task="sst2",
        train_file="sst2/train.jsonl",
        test_file="sst2/test.jsonl",
        split="test",
        train_rows=2250,
        test_rows=1000,
    ),
    Plan(
        task="rte",
        train_file="rte/train_part.jsonl",
        test_file="rte/dev.jsonl",
        split="dev (the labels of test are not public)",
        train_rows=800,
        answers=(" Yes", " No"),
    ),
    Plan(
        task="ag_news",
        train_file="ag_news/train_part.jsonl",
        test_file="ag_news/test.jsonl",
        split="test",
        train_rows=800,
        test_rows=500,
        answers=(" World", " Sports", " Business", " Science"),
    ),
    Plan(
        task="openbookqa",
        train_file="openbookqa/train.jsonl",
        test_file="openbookqa/test.jsonl",
        split="test",
        train_rows=1000,
        heads=(ANSWER,),
    ),
    Plan(
        task="arc_easy",
        train_file="arc_easy/train.jsonl",
        test_file="arc_easy/test.jsonl",
        split="test",
        train_rows=800,
        test_rows=500,
        heads=(ANSWER,),
    ),
    Plan(
        task="arc_challenge",
        train_file="arc_challenge/train.jsonl",
        test_file="arc_challenge/test.jsonl",
        split="test",
        train_rows=800,
        test_rows=500,
        heads=(ANSWER,),
    ),
    Plan(
        task="boolq",
        train_file="boolq/train.jsonl",
        test_file="boolq/dev.jsonl",
        split="dev (the labels of test are not public)",
        train_rows=4000,
    ),
)


def plan_of(task: str) -> Plan:
    """Return the plan of a task; raises KeyError for another."""
    return {plan.task: plan for plan in PLANS}[task]
