"""K members over one frozen base: a pack of tokens in, the logits of every sequence out."""

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.models.adapter_spec import AdapterSpec, decoder_layers
from ensemble_uq_llm.models.last_layer import LAST_TOKEN_MODULES, LastTokenLayer
from ensemble_uq_llm.models.pack import Pack
from ensemble_uq_llm.models.stacked_lora import ActivePass, LoraSpec, StackedHead, StackedLoraLinear
from ensemble_uq_llm.utils.seeding import derive_seed

HEAD = "score"
"""The head's name, in the members on disk too, as transformers calls it."""


class StackedEnsemble(nn.Module):
    """A frozen decoder whose target layers carry the adapters of M members, and the members' heads.

    The decoder is changed in place: its adapted linear layers become `StackedLoraLinear`, its last layer a
    `LastTokenLayer` where its form is known. Members start with the initialisation of their own seed.
    """

    def __init__(self, decoder: PreTrainedModel, *, spec: AdapterSpec, seeds: Sequence[int]) -> None:
        super().__init__()
        self.decoder = decoder.requires_grad_(False).eval()
        self.spec = spec
        self.seeds = tuple(seeds)
        self._active = ActivePass()
        layers = decoder_layers(decoder)
        self._pools_itself = LastTokenLayer.supports(layers[-1])
        self.adapters = {f"model.{name}": self._attach(name, len(seeds)) for name in spec.modules}
        if self._pools_itself:
            layers[-1] = LastTokenLayer(layers[-1])
        device = next(decoder.parameters()).device
        hidden = decoder.config.get_text_config().hidden_size
        self.head = StackedHead(members=len(seeds), classes=spec.classes, hidden=hidden, device=device)
        for member, seed in enumerate(seeds):
            self.initialise_member(member, seed)

    def forward(self, pack: Pack, *, dropout_generators: Sequence[Generator] | None = None) -> Tensor:
        """Return the float32 logits [B, C] of the pack's sequences.

        With `dropout_generators`, one a member, the adapters' dropout is on and each member draws from its own.
        """
        self._active.pack, self._active.dropout_generators = pack, dropout_generators
        try:
            output = self.decoder(
                input_ids=pack.tokens_T.unsqueeze(0),
                position_ids=pack.positions_T.unsqueeze(0),
                use_cache=False,
                pack=pack,
            )
        finally:
            self._active.pack = self._active.dropout_generators = None
        hidden = output.last_hidden_state.squeeze(0)
        hidden_BH = hidden if self._pools_itself else hidden.index_select(0, pack.last_B)
        return self.head(hidden_BH, pack.sequence_spans)

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
    def initialise_member(self, member: int, seed: int) -> None:
        """Give a member the initial weights of `seed`: PEFT's for the adapters, transformers' for the head."""
        std = getattr(self.decoder.config, "initializer_range", 0.02)
        for name, stack in self.named_stacks():
            generator = Generator().manual_seed(derive_seed(seed, "init", name))
            initial = torch.zeros(stack.shape[1:])
            if ".lora_A." in name:
                nn.init.kaiming_uniform_(initial, a=5**0.5, generator=generator)
            elif name.startswith(HEAD):
                initial.normal_(std=std, generator=generator)
            stack[member].copy_(initial)

    def _attach(self, name: str, members: int) -> StackedLoraLinear:
        """Put the members' adapters on the linear layer of that name."""
        path, _, leaf = name.rpartition(".")
        base = self.decoder.get_submodule(name)
        assert isinstance(base, nn.Linear), f"{name} is a {type(base).__name__}, and only linear layers are adapted"
        is_last = name.startswith(f"layers.{len(decoder_layers(self.decoder)) - 1}.")
        stacked = StackedLoraLinear(
            base,
            members=members,
            rank=self.spec.rank,
            spec=LoraSpec(self.spec.scaling, self.spec.dropout),
            active=self._active,
            last_tokens=is_last and self._pools_itself and leaf in LAST_TOKEN_MODULES,
        )
        setattr(self.decoder.get_submodule(path), leaf, stacked)
        return stacked
