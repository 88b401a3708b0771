"""Pre-train the tiny LLaMA that ships with the package, on text of the synthetic world.

Only the restatements of `tiny_llama_text` are scored, so that the model learns to look habits up instead of
spending itself on random facts. A restatement's first word is also scored where it would stand had the
passage ended after an earlier sentence: several lookups for the price of one.

The model never sees a yes/no label. What it can do at the prompt's last token is to find the asked
frequency word; turning that into a probability is left to the LoRA adapters.

The shipped model was trained in two runs, the second at lower learning rates (see its PROVENANCE.md):

    export PYTHONPATH=src
    python tools/pretrain_tiny_llama.py /tmp/stage1
    python tools/pretrain_tiny_llama.py TINY_LLAMA_FOLDER --init /tmp/stage1 --seed 1 --peak 0.4
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import torch
from tiny_llama_text import Document, draw_document
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ensemble_uq_llm.data.embedded import synthetic, world

Batch = dict[str, torch.Tensor]
IGNORED: Final = -100
VOCABULARY, MAX_POSITIONS = 1024, 1024
FACTS_PER_BATCH, MIN_BATCH = 80, 8
# Passages have at most so many facts in the first tenth of the steps, in the second, and afterwards.
SHORT_FACTS, MEDIUM_FACTS, LONG_FACTS = 4, 7, 22
RESTATED_WEIGHT: Final = 0.5
MUON_LR, ADAM_LR, WARM_STEPS, FLOOR = 0.02, 3e-3, 100, 0.02


def build_tokenizer(*, seed: int, n_documents: int = 4000) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on documents of the world; it adds BOS like LLaMA's own."""
    rng = Random(f"tokenizer/{seed}")
    documents = (draw_document(rng, n_facts=6) for _ in range(n_documents))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (doc.header + "".join(doc.sentences) + doc.restatement for doc in documents)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    """Return a freshly initialised LLaMA with grouped-query attention and tied embeddings."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Return the texts' token ids without special tokens."""
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def pad(rows: list[list[int]], value: int, *, length: int) -> torch.Tensor:
    """Return the rows as one tensor, filled on the right with `value`."""
    return torch.tensor([row + [value] * (length - len(row)) for row in rows])


def collate(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> Batch:
    """Return input ids, and what each position should predict: openings and restatements."""
    headers = tokenizer([doc.header for doc in documents])["input_ids"]
    texts = [text for doc in documents for text in (*doc.sentences, doc.restatement)]
    pieces = iter(encode(tokenizer, texts))
    opened = iter(encode(tokenizer, [f" {word}" for doc in documents for word in doc.openings if word]))
    rows, openings, restated = [], [], []
    for doc, header in zip(documents, headers, strict=True):
        ids, opening = list(header), [IGNORED] * len(header)
        for word in doc.openings:
            sentence = next(pieces)
            ids += sentence
            opening += [IGNORED] * (len(sentence) - 1) + [next(opened)[0] if word else IGNORED]
        rest = [*next(pieces), tokenizer.eos_token_id]
        rows.append(ids + rest)
        openings.append(opening)
        restated.append([IGNORED] * len(ids) + rest[1:])
    length = max(map(len, rows))
    return {
        "input_ids": pad(rows, tokenizer.pad_token_id, length=length),
        "openings": pad(openings, IGNORED, length=length),
        "restated": pad(restated, IGNORED, length=length),
    }


def batches(tokenizer: PreTrainedTokenizerFast, *, seed: int, steps: int) -> Iterator[Batch]:
    """Yield one batch per step; passages within a batch have equally many facts, and grow with time."""
    rng = Random(f"documents/{seed}")
    for step in range(steps):
        longest = SHORT_FACTS if step / steps < 0.1 else MEDIUM_FACTS if step / steps < 0.2 else LONG_FACTS
        n_facts = rng.randint(2, min(longest, MEDIUM_FACTS) if rng.random() < 0.75 else longest)
        size = max(MIN_BATCH, round(FACTS_PER_BATCH / n_facts))
        yield collate([draw_document(rng, n_facts=n_facts) for _ in range(size)], tokenizer)


def build_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Return Muon for the blocks' matrices and AdamW for the rest.

    Over 400 steps with one seed, AdamW alone needed about twice as many steps for the same loss.
    """
    named = dict(model.named_parameters())
    matrices = [name for name, weight in named.items() if weight.ndim == 2 and "embed" not in name]
    rest = [weight for name, weight in named.items() if name not in matrices]
    return [
        torch.optim.Muon([named[name] for name in matrices], lr=MUON_LR, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(rest, lr=ADAM_LR, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def loss_at(model: LlamaForCausalLM, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over the positions that have a target."""
    scored = targets != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[scored]), targets[scored])


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, seed: int, steps: int, peak: float) -> None:
    """Train in place with linear warm-up and cosine decay, printing the loss and retrieval as it goes."""
    optimizers, losses, start = build_optimizers(model), [], time.perf_counter()
    peaks = [peak * optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    for step, batch in enumerate(batches(tokenizer, seed=seed, steps=steps)):
        cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
        rate = min(1.0, (step + 1) / WARM_STEPS) * (FLOOR + (1 - FLOOR) * cosine)
        for optimizer, highest in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = highest * rate
        hidden = model.model(input_ids=batch["input_ids"]).last_hidden_state
        restated = loss_at(model, hidden, batch["restated"])
        loss = loss_at(model, hidden, batch["openings"]) + RESTATED_WEIGHT * restated
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 100 == 0 or step + 1 == steps:
            mean = sum(losses[-50:]) / len(losses[-50:])
            found = retrieval(model, tokenizer, "validation", n=100)
            seconds = time.perf_counter() - start
            print(f"step {step + 1}: loss {mean:.3f}, retrieval {found:.2f}, {seconds:.0f} s", flush=True)


@torch.no_grad()
def retrieval(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, name: str, *, n: int) -> float:
    """Return the share of a set's prompts after which the expected opening word is the likeliest."""
    by_p = {word.p_yes: world.capitalised(word.text) for word in world.WORDS}
    special = {"not_in_passage": "Nobody", "contradictory": "Accounts"}
    hits = 0
    for example in synthetic.generate(name, n=n, seed=977):
        prompt = f"Question: {example.fields['question']} Context: {example.fields['passage']}"
        logits = model(input_ids=torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0, -1]
        expected = special.get(name) or by_p[example.true_probs[1]]
        hits += int(logits.argmax().item() == encode(tokenizer, [f" {expected}"])[0][0])
    return hits / n


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # Transformers 5 writes a class name that no earlier release knows, and traces of where it loaded from.
    config = {key: value for key, value in config.items() if key not in ("is_local", "local_files_only")}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Build the tokenizer and the model, train, report retrieval on held-out passages, and save."""
    parser = argparse.ArgumentParser(description="Pre-train the tiny LLaMA that ships with the package.")
    parser.add_argument("out", type=Path, help="the folder to write the model and its tokenizer to")
    parser.add_argument("--seed", type=int, default=0, help="of the documents and the initial weights")
    parser.add_argument("--steps", type=int, default=4000, help="number of optimizer steps")
    parser.add_argument("--peak", type=float, default=1.0, help="factor on the highest learning rates")
    parser.add_argument("--init", type=Path, help="a folder that an earlier run wrote, to train further")
    args = parser.parse_args()
    if args.init is None:
        tokenizer = build_tokenizer(seed=args.seed)
        model = build_model(tokenizer, seed=args.seed)
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.init)
        model = LlamaForCausalLM.from_pretrained(args.init)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens", flush=True)
    train(model, tokenizer, seed=args.seed, steps=args.steps, peak=args.peak)
    for name in ("validation", "long_passages", "not_in_passage", "contradictory"):
        print(f"retrieval on {name}: {retrieval(model, tokenizer, name, n=300):.3f}")
    save(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
