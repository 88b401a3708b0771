#!/bin/sh
# Train the ensemble: sh scripts/train_models.sh [CONFIG]
exec sh train.sh "$@"
