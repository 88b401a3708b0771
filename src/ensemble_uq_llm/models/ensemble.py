"""K members over one frozen base: a pack of tokens in, the logits of every sequence out."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.layers.lean import LeanLastLayer, LeanLayer, is_lean
from ensemble_uq_llm.models.lora.spec import AdapterSpec, decoder_layers
from ensemble_uq_llm.models.lora.stacked import (
    ActivePass,
    LoraSpec,
    LoraStack,
    StackedHead,
    StackedLoraLinear,
    linear_of,
)
from ensemble_uq_llm.models.pack import Pack
from ensemble_uq_llm.utils.seeding import derive_seed

HEAD = "score"
"""The head's name, in the members on disk too, as transformers calls it."""


class StackedEnsemble(nn.Module):
    """A frozen decoder whose target layers carry the adapters of M members, and the members' heads.

    The decoder is changed in place: its layers become `LeanLayer` where the form of all is known, else their adapted
    linear layers become `StackedLoraLinear`. Members start with the initialisation of their own seed.
    """

    def __init__(self, decoder: PreTrainedModel, *, spec: AdapterSpec, members: Sequence[MemberId]) -> None:
        super().__init__()
        self.decoder = decoder.requires_grad_(False).eval()
        self.spec = spec
        self.members = tuple(members)
        self._active = ActivePass()
        stacks = {
            name: LoraStack(linear_of(decoder, name), members=len(members), rank=spec.rank) for name in spec.modules
        }
        self.adapters = {f"model.{name}": stack for name, stack in stacks.items()}
        layers = decoder_layers(decoder)
        self._is_lean = all(map(is_lean, layers))
        lowest = min(int(name.split(".")[1]) for name in spec.modules)
        self.trunk_depth = lowest if self._is_lean else 0
        self._put_on(layers, stacks)
        device = next(decoder.parameters()).device
        hidden = decoder.config.get_text_config().hidden_size
        self.head = StackedHead(members=len(members), classes=spec.classes, hidden=hidden, device=device)
        for index, member in enumerate(members):
            self.initialise_member(index, member.seed)

    def forward(
        self, pack: Pack, *, dropout_generators: Sequence[Generator] | None = None, trunk_TH: Tensor | None = None
    ) -> Tensor:
        """Return the float32 logits [B, C] of the pack's sequences.

        With `dropout_generators`, one a member, the adapters' dropout is on and each member draws from its own.
        `trunk_TH` is what `trunk` returned for these tokens, if that is known already.
        """
        with self._active.during(pack, dropout_generators):
            if self._is_lean:
                if trunk_TH is None:
                    states_BH = self._run(self.decoder.embed_tokens(pack.tokens_T), pack, slice(None))
                else:
                    states_BH = self._run(trunk_TH, pack, slice(self.trunk_depth, None))
                hidden_BH = self.decoder.norm(states_BH)
            else:
                hidden_BH = self._run_as_transformers_does(pack).index_select(0, pack.last_B)
        return self.head(hidden_BH, pack.sequence_spans)

    @torch.no_grad()
    def trunk(self, pack: Pack) -> Tensor:
        """Return the hidden states [T, H] after the `trunk_depth` layers below the first adapter.

        They do not depend on the member, so a pack of one member serves all.
        """
        with self._active.during(pack, None):
            return self._run(self.decoder.embed_tokens(pack.tokens_T), pack, slice(self.trunk_depth))

    def _run(self, states_TH: Tensor, pack: Pack, part: slice) -> Tensor:
        """Run some of the layers, without what transformers' decoders do besides: masks, caches, recorded outputs."""
        states_1TH = states_TH.unsqueeze(0)
        rotary = self.decoder.rotary_emb(states_1TH, pack.positions_T.unsqueeze(0))
        for layer in list(self.decoder.layers)[part]:
            states_1TH = layer(states_1TH, position_embeddings=rotary)
        return states_1TH.squeeze(0)

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
        yield f"{HEAD}.weight", self.head.weight_MCH

    @torch.no_grad()
    def initialise_member(self, index: int, seed: int) -> None:
        """Give a member the initial weights of `seed`: PEFT's for the adapters, transformers' for the head."""
        std = getattr(self.decoder.config, "initializer_range", 0.02)
        for name, stack in self.named_stacks():
            generator = Generator().manual_seed(derive_seed(seed, "init", name))
            initial = torch.zeros(stack.shape[1:])
            if ".lora_A." in name:
                nn.init.kaiming_uniform_(initial, a=5**0.5, generator=generator)
            elif name.startswith(HEAD):
                initial.normal_(std=std, generator=generator)
            stack[index].copy_(initial)

    def _put_on(self, layers: nn.ModuleList, stacks: Mapping[str, LoraStack]) -> None:
        """Put the adapters on the decoder's layers, which become lean ones where all of them can."""
        spec = LoraSpec(self.spec.scaling, self.spec.dropout)
        for index, layer in enumerate(layers):
            prefix = f"layers.{index}."
            own = {name.removeprefix(prefix): stack for name, stack in stacks.items() if name.startswith(prefix)}
            if self._is_lean:
                kind = LeanLayer if index < len(layers) - 1 else LeanLastLayer
                layers[index] = kind(layer, own, spec=spec, active=self._active)
                continue
            for name, stack in own.items():
                path, _, leaf = name.rpartition(".")
                adapted = StackedLoraLinear(linear_of(layer, name), stack, spec=spec, active=self._active)
                setattr(layer.get_submodule(path), leaf, adapted)
