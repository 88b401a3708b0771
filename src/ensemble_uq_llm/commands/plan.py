"""What `train --dry-run` says."""

from dataclasses import asdict

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.printing import print_record
from ensemble_uq_llm.utils.text import duration


def show_plan(config: Config, *, as_json: bool) -> None:
    """Check everything as `validate` does, then print what training would do and need.

    Raises:
        ConfigError, ModelError, DataError: every problem, each on its own lines.
    """
    from ensemble_uq_llm.training.planning.dry_run import dry_run  # isort: skip (whether the engine is there comes first)

    from ensemble_uq_llm.commands.preflight import check_everything

    facts = check_everything(config)
    plan = asdict(dry_run(config))
    if left := facts.get("interrupted_training"):
        plan["interrupted_training"] = left
    if not as_json and (seconds := plan.pop("estimated_seconds")) is not None:
        plan["time"] = f"about {duration(seconds)}: an estimate, from one small step on this machine as it is now"
    print_record(plan, as_json=as_json)
