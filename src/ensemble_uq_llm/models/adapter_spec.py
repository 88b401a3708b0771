"""What every member of an ensemble has in common: the shape of its adapters and its head."""

from dataclasses import dataclass

from ensemble_uq_llm.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec:
    """Rank, scale, dropout and place of the adapters; `layers` None is all of them."""

    rank: int
    alpha: float
    dropout: float
    target_modules: tuple[str, ...]
    layers: tuple[int, ...] | None
    classes: int

    @property
    def scaling(self) -> float:
        """The factor on the adapter's output."""
        return self.alpha / self.rank

    @classmethod
    def of(cls, config: Config) -> "AdapterSpec":
        """Return the adapters that a configuration asks for."""
        return cls(
            rank=config.lora_r,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            target_modules=config.lora_target_modules,
            layers=config.lora_layers,
            classes=config.num_labels,
        )
