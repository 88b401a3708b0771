"""What the server of `warm_commands` imports and works out once, so that its forks need not; no threads are started."""

import faulthandler
import signal

import peft
import pyarrow.parquet
import pytest
import torch
import transformers.models.llama.modeling_llama
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import ensemble_uq_llm.cli
import ensemble_uq_llm.commands.preflight
import ensemble_uq_llm.evaluation.comparison
import ensemble_uq_llm.evaluation.files.evaluate_files
import ensemble_uq_llm.pipeline
import ensemble_uq_llm.report.page
import ensemble_uq_llm.training.launch
import warm_commands

get_checkpoint_conversion_mapping("llama")
faulthandler.register(signal.SIGUSR1)  # whoever hangs says where
__all__ = ["ensemble_uq_llm", "peft", "pyarrow", "pytest", "torch", "transformers", "warm_commands"]
