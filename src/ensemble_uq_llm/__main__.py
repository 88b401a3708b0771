"""`python -m ensemble_uq_llm` is the command `ensemble-uq`."""

from ensemble_uq_llm.cli import main

if __name__ == "__main__":
    main()
