"""What a person sees of the making of samples."""

from rich.console import Console

from ensemble_uq_llm.outgoing.share_display import ShareDisplay
from ensemble_uq_llm.utils.text import counted


class MakingDisplay(ShareDisplay):
    """Hears which share of a maker's work is done (`posteriors.maker.Tell`)."""

    def __init__(self, console: Console, *, maker: str, samples: int, members: int) -> None:
        super().__init__(console, doing=maker)
        self._samples, self._members = samples, members

    def beginning(self) -> str:
        """Return how many samples are made."""
        of = counted(self._members, "member")
        return (
            f"{self._doing}: making {counted(self._samples, 'sample')} of {'each of ' if self._members > 1 else ''}{of}"
        )

    def ending(self, seconds: float) -> str:
        """Return the time."""
        return f"{self._doing}: made in {seconds:.1f} s"

    def __call__(self, share: float) -> None:
        """Show that so much of the work is done."""
        self.show(share)
