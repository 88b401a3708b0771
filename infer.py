#!/bin/sh
""":"
# Predict and evaluate with the trained ensemble: sh infer.py [CONFIG], or python infer.py [CONFIG].
# A shell runs the next line and so starts Python, to which all of this is a docstring.
PATH=".venv/bin:$PATH" exec python3 "$0" "$@"
"""  # noqa: D205, D415

import sys

from ensemble_uq_llm.cli import infer

if __name__ == "__main__":
    infer(sys.argv[1] if len(sys.argv) > 1 else "configs/llama_config.yaml")
