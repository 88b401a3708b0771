"""What a person sees of prediction."""

from rich.console import Console

from ensemble_uq_llm.outgoing.share_display import ShareDisplay
from ensemble_uq_llm.utils.text import counted


class PredictionDisplay(ShareDisplay):
    """Hears how far the prediction of one set is (`models.logits.Tell`)."""

    def __init__(self, console: Console, *, name: str, examples: int, members: int) -> None:
        super().__init__(console, doing=f"predicting {name}")
        self._name, self._examples, self._members = name, examples, members

    def beginning(self) -> str:
        """Return how much is predicted."""
        return f"{self._doing}: {counted(self._examples, 'example')} by {counted(self._members, 'member')}"

    def ending(self, seconds: float) -> str:
        """Return the time and the rate."""
        return f"predicted {self._name} in {seconds:.1f} s ({self._rate(self._examples)})"

    def __call__(self, done: int, total: int) -> None:
        """Show that so many of all answers are there."""
        self.show(done / total, rate=self._rate(self._examples * done / total))

    def _rate(self, examples: float) -> str:
        return f"{examples / max(self.seconds, 1e-9):,.1f} examples/s"
