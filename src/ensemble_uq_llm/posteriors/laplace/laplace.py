"""Laplace's approximation of each member's last layer (Daxberger et al. 2021, arXiv:2106.14806), as samples.

The last layer is what is linear and the member's own: the trained head `score`; with the answer head B of the LoRA on
the LM head, whose inputs are A h. Where that head is not adapted there is nothing of the member's own to be unsure of:
its rows are the base's, trained on other data, and the evidence of a prior around weights that no training row has
moved is highest where nothing spreads. So that is refused.
"""

import warnings
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.labels.lacking_options import masked
from ensemble_uq_llm.models.heads.answer import LORA_B, AnswerHead
from ensemble_uq_llm.models.heads.classification import SCORE, ClassificationHead
from ensemble_uq_llm.models.pack import Span
from ensemble_uq_llm.models.taps.features import member_features
from ensemble_uq_llm.posteriors.laplace.curvature import LARGEST, Array
from ensemble_uq_llm.posteriors.laplace.last_layer import LastLayerPosterior, LayerRows, fit_last_layer
from ensemble_uq_llm.posteriors.maker import GeneratorFor, LabelledRows, Made, Maker, Need, Parents
from ensemble_uq_llm.posteriors.maker_settings import Positive


@dataclass(frozen=True, slots=True)
class LastLayer:
    """A member's last layer: the tensor that is its own, its values [C, H], and what it reads."""

    name: str
    weights_CH: Array
    inputs_NH: Array


@dataclass(frozen=True)
class Laplace(Maker):
    """Samples by Laplace's approximation of the last layer.

    Without a `precision` of the prior each member has that of its highest evidence.
    """

    name: ClassVar[str] = "laplace"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.WEIGHTS, Need.TRAINING_ROWS})
    precision: Positive | None = None
    largest: Annotated[int, Field(ge=0, le=32_768)] = LARGEST
    """The curvature is held in full up to this side, which costs its third power; else as a Kronecker product."""

    def make(self, parents: Parents, samples: int, generator_for: GeneratorFor) -> Made:
        """Return so many samples of every member, and how each member's posterior was found.

        Raises:
            ConfigError: the members' last layer is not their own, or not linear. DataError: no training rows.
        """
        rows = parents.training
        if rows is None or len(rows.labels_N) == 0:
            raise DataError("laplace: needs the training rows; give the run's training data")
        features_MNH = member_features(parents.ensemble, rows.sequences, budget=parents.budget)
        made: list[list[dict[str, torch.Tensor]]] = []
        facts: list[dict[str, Any]] = []
        for index, member in enumerate(parents.members):
            seen_N = rows.seen_by(index)
            features_NH = features_MNH[index][seen_N]
            layer = last_layer_of(parents, index, features_NH)
            posterior = self._fit(parents, index, layer, rows.only(seen_N), features_NH)
            weights = dict(parents.ensemble.named_stacks())[layer.name].detach()[index]
            made.append([])
            for sample in range(1, samples + 1):
                deviation_CH = posterior.deviation(generator_for(member, sample, layer.name))
                drawn_CH = (layer.weights_CH + deviation_CH).astype(np.float32)
                made[-1].append({layer.name: torch.from_numpy(drawn_CH).to(weights.device)})
            facts.append({"layer": layer.name, "training_digest": rows.digest, **posterior.facts})
        return Made(samples=made, facts=facts)

    def _fit(
        self, parents: Parents, index: int, layer: LastLayer, rows: LabelledRows, features_NH: np.ndarray
    ) -> LastLayerPosterior:
        log_probs_NC = head_log_probs(parents, index, features_NH, rows)
        seen = LayerRows(features_NH=layer.inputs_NH, log_probs_NC=log_probs_NC, labels_N=rows.labels_N)
        posterior = fit_last_layer(seen, layer.weights_CH, precision=self.precision, largest=self.largest)
        if posterior.facts.get("precision_at_edge"):
            warnings.warn(
                f"laplace: {parents.members[index].title}: the evidence has no peak, and the prior's precision is "
                f"{posterior.precision:.3g}, the last one tried; choose one with --with precision=NUMBER",
                stacklevel=2,
            )
        return posterior


def last_layer_of(parents: Parents, index: int, features_NH: np.ndarray) -> LastLayer:
    """Return a member's last layer for sequences of these features, in float64.

    Raises:
        ConfigError: the answer head has no LoRA of this member, or caps its logits.
    """
    head, title = parents.ensemble.head, parents.members[index].title
    inputs_NH = features_NH.astype(np.float64)
    if isinstance(head, ClassificationHead):
        return LastLayer(SCORE, _float64(head.weight_MCH[index]), inputs_NH)
    assert isinstance(head, AnswerHead), "there are two kinds of heads"
    if head.lm_head.cap is not None:
        raise ConfigError(
            "laplace: the base caps its logits (final_logit_softcapping), so its last layer is not linear; use another "
            "maker, such as tfb, or train with head: classification"
        )
    if LM_HEAD not in head.adapters or not head.adapters[LM_HEAD].lora_a_MRI[index].any():
        raise ConfigError(
            f"laplace: the answer head of {title} is the base's own, without anything trained; train with lm_head "
            "among lora_target_modules or with head: classification, or use another maker, such as tfb"
        )
    stack = head.adapters[LM_HEAD]
    scale = head.projection.spec.scaling * head.lm_head.factor
    projected_NR = inputs_NH @ _float64(stack.lora_a_MRI[index]).T * scale
    return LastLayer(LORA_B, _float64(stack.lora_b_MOR[index]), projected_NR)


@torch.no_grad()
def head_log_probs(parents: Parents, index: int, features_NH: np.ndarray, rows: LabelledRows) -> Array:
    """Return a member's log probabilities [N, C] of rows of these features, without what is told of other tokens."""
    ensemble = parents.ensemble
    features = torch.from_numpy(features_NH).to(next(ensemble.parameters()).device)
    logits_NC = ensemble.head(features, (Span(index, 0, len(features)),))[:, : ensemble.spec.classes]
    log_probs: Array = log_softmax(masked(logits_NC.cpu().numpy(), rows.options_N))
    return log_probs


def _float64(tensor: torch.Tensor) -> Array:
    values: Array = tensor.detach().cpu().double().numpy()
    return values
