#!/bin/sh
# Train the ensemble: sh train.sh [CONFIG]
PATH=".venv/bin:$PATH"
exec ensemble-uq train "${1:-configs/llama_config.yaml}"
