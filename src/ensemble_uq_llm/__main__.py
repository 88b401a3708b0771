"""`python -m ensemble_uq_llm`, and `ensemble-uq`: requests to stop are heard before anything is imported."""

import sys

from ensemble_uq_llm.errors import InterruptedRunError
from ensemble_uq_llm.storage.stop import listening


def main() -> None:
    """Run the command line."""
    try:
        with listening():
            from ensemble_uq_llm.cli import main as run

            run()
    except KeyboardInterrupt as error:  # before a command has begun, or after it has ended
        print(f"error: stopped by {error}; run the same command again", file=sys.stderr)  # noqa: T201
        sys.exit(InterruptedRunError.exit_code)


if __name__ == "__main__":
    main()
