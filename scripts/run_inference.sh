#!/bin/sh
# Predict and evaluate with the trained ensemble: sh scripts/run_inference.sh [CONFIG]
exec sh infer.py "$@"
