"""The names of the makers of samples, and of what is compared with them; known without the engine."""

from typing import Final, Literal

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed

MakerName = Literal["ivon", "laplace", "mc_dropout", "swag", "tfb"]
"""The makers that `posteriors/registry.py` holds."""

MAKERS: Final[dict[str, str]] = {
    "ivon": "a Gaussian of each weight that further training finds by a variational objective, with a prior",
    "laplace": "a Gaussian around the last layer, as wide as the training rows and a prior by evidence leave it",
    "mc_dropout": "dropout of an adapter's inputs kept on, one mask a layer and sample",
    "swag": "a Gaussian of the weights along further training at a constant rate",
    "tfb": "the largest noise on an adapter's update that a calibration split does not notice",
}
"""What each maker does, in words."""

WITHOUT_SAMPLES: Final[dict[str, str]] = {
    "temperature": "one number on the pooled probability, fitted on the calibration split",
}
"""Methods that make no weights, and stand beside the makers in a table: every evaluation of a run with a calibration
split measures them, and `decision.json` keeps what was fitted."""


def check_maker(name: str) -> None:
    """Raise ConfigError where no maker has this name."""
    if name in WITHOUT_SAMPLES:
        raise ConfigError(
            f"--maker: {name} makes no samples ({WITHOUT_SAMPLES[name]}); evaluate the run, and it stands in its "
            "decision.json and report"
        )
    if name not in MAKERS:
        raise ConfigError(
            f"--maker: {clipped(name)} is no maker{did_you_mean(name, MAKERS) or f'; there are {listed(MAKERS)}'}"
        )
