#!/bin/sh
"execenvPATH=.venv/bin:$PATHpython3$0$@"  # a shell starts Python here; Python sees four strings

"""Predict and evaluate with the trained ensemble: sh infer.py [CONFIG], or python infer.py [CONFIG]."""

import sys

from ensemble_uq_llm.cli import infer

infer(sys.argv[1] if len(sys.argv) > 1 else "configs/llama_config.yaml")
