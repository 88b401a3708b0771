"""The specification's door: python main.py train|inference --config CONFIG [--seed N]."""

import argparse

from ensemble_uq_llm.cli import infer, main

if __name__ == "__main__":  # the processes that train on further devices import this file
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["train", "inference"])
    parser.add_argument("--config", default="configs/llama_config.yaml")
    parser.add_argument("--seed", type=int, help="only the member of this seed")
    arguments = parser.parse_args()

    member = [] if arguments.seed is None else [f"seeds=[{arguments.seed}]", "num_ensemble_models=1"]
    if arguments.stage == "train":
        main(["train", arguments.config, *(word for each in member for word in ("--set", each))])
    else:
        infer(arguments.config, member)
