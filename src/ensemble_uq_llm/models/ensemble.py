"""K members over one frozen base: a pack of tokens in, the logits of every sequence out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.attention.rope import own_lengths_only
from ensemble_uq_llm.models.frozen_linear import frozen_linear
from ensemble_uq_llm.models.heads.head import HeadLora
from ensemble_uq_llm.models.layers.lean import LeanLastLayer, LeanLayer
from ensemble_uq_llm.models.layers.ops import rotary_table
from ensemble_uq_llm.models.layers.parity import can_be_lean
from ensemble_uq_llm.models.lora.spec import AdapterSpec, decoder_layers
from ensemble_uq_llm.models.lora.stacked import (
    ActivePass,
    Generators,
    LoraSpec,
    LoraStack,
    StackedLoraLinear,
    StackedProjection,
)
from ensemble_uq_llm.models.memory import FEWER_MEMBERS, naming_memory
from ensemble_uq_llm.models.pack import Pack
from ensemble_uq_llm.utils.seeding import derive_seed


class StackedEnsemble(nn.Module):
    """A frozen decoder whose target layers carry the adapters of M members, and the members' heads.

    The decoder is changed in place: its layers become `LeanLayer` where that computes the same, else their adapted
    linear layers become `StackedLoraLinear`. Members start with the initialisation of their own seed.
    """

    @naming_memory("the members' adapters", FEWER_MEMBERS, "lower lora_r")
    def __init__(self, decoder: PreTrainedModel, *, spec: AdapterSpec, members: Sequence[MemberId]) -> None:
        super().__init__()
        self.decoder = decoder.requires_grad_(False).eval()
        own_lengths_only(decoder)
        self.spec = spec
        self.members = tuple(members)
        self.is_lean = can_be_lean(decoder)
        top = len(decoder_layers(decoder)) - 1  # the last layer is no part of a trunk: it runs for the last tokens only
        lowest = min((int(name.split(".")[1]) for name in spec.modules), default=top)
        self.trunk_depth = lowest if self.is_lean else 0
        device = next(decoder.parameters()).device
        stacks = {
            name: LoraStack(frozen_linear(decoder, name), members=len(members), rank=spec.rank, device=device)
            for name in spec.modules
        }
        self.adapters = {f"model.{name}": stack for name, stack in stacks.items()}
        self._lora = LoraSpec(spec.scaling, spec.dropout)
        self._active = ActivePass()
        self._put_on(decoder_layers(decoder), stacks)
        lora = HeadLora(rank=spec.rank, spec=self._lora) if spec.adapts_head else None
        self.head = spec.head_kind.make(decoder, members=len(members), classes=spec.classes, lora=lora)
        self.adapters |= self.head.adapters
        for index, member in enumerate(members):
            self.initialise_member(index, member.seed)

    def forward(self, pack: Pack, *, dropout_generators: Generators = None, trunk_TH: Tensor | None = None) -> Tensor:
        """Return the float32 logits [B, C] of the pack's sequences.

        With `dropout_generators`, one a member, the adapters' dropout is on and each member draws from its own.
        `trunk_TH` is what `trunk` returned for these tokens, if that is known already.
        """
        hidden_BH = self.hidden(pack, dropout_generators=dropout_generators, trunk_TH=trunk_TH)
        logits_BC: Tensor = self.head(hidden_BH, pack.sequence_spans, dropout_generators)
        return logits_BC

    def hidden(self, pack: Pack, *, dropout_generators: Generators = None, trunk_TH: Tensor | None = None) -> Tensor:
        """Return the last hidden state [B, H] of the pack's sequences, which the heads read; arguments as `forward`."""
        if self.is_lean:
            first = 0 if trunk_TH is None else self.trunk_depth
            states_TH = self.decoder.embed_tokens(pack.tokens_T) if trunk_TH is None else trunk_TH
            hidden_BH: Tensor = self.decoder.norm(self._run(states_TH, pack, slice(first, None), dropout_generators))
            return hidden_BH
        with self._active.during(pack, dropout_generators):
            return self._run_as_transformers_does(pack).index_select(0, pack.last_B)

    @torch.no_grad()
    def trunk(self, pack: Pack) -> Tensor:
        """Return the hidden states [T, H] after the `trunk_depth` layers below the first adapter.

        They do not depend on the member, so a pack of one member serves all.
        """
        return self._run(self.decoder.embed_tokens(pack.tokens_T), pack, slice(self.trunk_depth), None)

    def _run(self, states_TH: Tensor, pack: Pack, part: slice, generators: Generators) -> Tensor:
        """Run some of the lean layers; the last of all returns [B, H]."""
        layers = list(self.decoder.layers)[part]
        cos_1TD, sin_1TD = self.decoder.rotary_emb(states_TH.unsqueeze(0), pack.positions_T.unsqueeze(0))
        rotary = rotary_table(cos_1TD.squeeze(0), sin_1TD.squeeze(0), layers[0].query_heads)
        for layer in layers:
            states_TH = layer(states_TH, pack, rotary, generators)
        return states_TH

    def _run_as_transformers_does(self, pack: Pack) -> Tensor:
        output = self.decoder(
            input_ids=pack.tokens_T.unsqueeze(0),
            position_ids=pack.positions_T.unsqueeze(0),
            use_cache=False,
            pack=pack,
        )
        states_TH: Tensor = output.last_hidden_state.squeeze(0)
        return states_TH

    def trainable(self) -> list[nn.Parameter]:
        """The stacked tensors that are trained, in a fixed order; the first axis of each is the member."""
        return [parameter for _, parameter in self.named_stacks()]

    def named_stacks(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield every stacked tensor with the name that PEFT gives a member's slice of it."""
        for name, adapter in self.adapters.items():
            yield f"{name}.lora_A.weight", adapter.lora_a_MRI
            yield f"{name}.lora_B.weight", adapter.lora_b_MOR
        yield from self.head.named_stacks()

    def rescale(self, *, scaling: float, dropout: float) -> None:
        """Set what all members' adapters share: their outputs' scale, and the dropout on their inputs."""
        self.spec = replace(self.spec, scaling=scaling, dropout=dropout)
        self._lora = LoraSpec(scaling, dropout)
        for module in self.modules():
            if isinstance(module, StackedProjection) and module.stacks:
                module.spec = self._lora

    def initialise_member(self, index: int, seed: int) -> None:
        """Give a member the initial weights of `seed`: PEFT's for the adapters, its head's own."""

        def generator_for(name: str) -> Generator:
            return Generator().manual_seed(derive_seed(seed, "init", name))

        for name, adapter in self.adapters.items():
            adapter.initialise(index, generator_for(f"{name}.lora_A.weight"))
        self.head.initialise(index, generator_for)

    def _put_on(self, layers: nn.ModuleList, stacks: Mapping[str, LoraStack]) -> None:
        """Put the adapters on the decoder's layers, which become lean ones where all of them can."""
        for index, layer in enumerate(layers):
            prefix = f"layers.{index}."
            own = {name.removeprefix(prefix): stack for name, stack in stacks.items() if name.startswith(prefix)}
            if self.is_lean:
                kind = LeanLayer if index < len(layers) - 1 else LeanLastLayer
                layers[index] = kind(layer, own, spec=self._lora)
                continue
            for name, stack in own.items():
                path, _, leaf = name.rpartition(".")
                adapted = StackedLoraLinear(frozen_linear(layer, name), stack, spec=self._lora, active=self._active)
                setattr(layer.get_submodule(path), leaf, adapted)
