"""Pre-train the tiny LLaMA that ships with the package, on text of the synthetic world.

A document is a reading prompt followed by a restatement: the asked habit with its frequency word first
("Usually Anna drinks tea."), then the passage's other habits in another order. Only the restatement is
scored, so that the model learns to look habits up instead of spending itself on random facts. It never
sees a yes/no label: what it can do at the prompt's last token is to find the asked frequency word, and
turning that into a probability is left to the LoRA adapters.

Made-up names and frequency words make the lookup a general copy. Some questions ask for a habit that is
missing or stated in two incompatible ways, and the restatement says so ("Nobody knows whether ..."): any
large language model has read enough to notice missing and conflicting information, so this one should too.

    python tools/pretrain_tiny_llama.py --out src/ensemble_uq_llm/assets/tiny_llama
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ensemble_uq_llm.data.synthetic import draw_absent, generate
from ensemble_uq_llm.data.world import (
    OPPOSITE_WORDS,
    P_YES,
    PEOPLE,
    UNKNOWN_PEOPLE,
    UNKNOWN_WORDS,
    Activity,
    Fact,
    WORDS,
    capitalised,
    draw_facts,
    question,
    statement,
)

IGNORED: Final = -100
ONSETS: Final = ("b", "br", "c", "d", "dr", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s",
                 "st", "t", "tr", "v", "w", "z")  # fmt: skip
VOWELS: Final = ("a", "e", "i", "o", "u")
CODAS: Final = ("", "l", "m", "n", "r", "s", "x", "nd", "st")
NEGATIVE: Final = frozenset(word.text for word in WORDS if word.negative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A reading prompt, and the restatement that the model learns to continue it with."""

    prompt: str
    restatement: str


def made_up(rng: Random, *, ending: str = "") -> str:
    """Return a made-up word of two or three syllables that is none of the reserved unknown ones."""
    while True:
        syllables = (rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randint(1, 3)))
        word = "".join(syllables) + (ending or rng.choice(VOWELS))
        if capitalised(word) not in UNKNOWN_PEOPLE and word not in UNKNOWN_WORDS and word not in P_YES:
            return word


def fronted(fact: Fact) -> str:
    """Return the fact with its frequency word first ("Never does Ben swim in the lake.")."""
    word, activity = capitalised(fact.word), fact.activity
    if fact.word in NEGATIVE:
        return f"{word} does {fact.person} {activity.base} {activity.rest}."
    return f"{word} {fact.person} {activity.third} {activity.rest}."


def draw_document(rng: Random, *, n_facts: int, absent: float, contradictory: float, novel: float) -> Document:
    """Return one document with n_facts facts; the three shares are those of its special kinds."""
    people = tuple({capitalised(made_up(rng)) for _ in range(2 * n_facts)}) if rng.random() < 0.3 else PEOPLE
    people = tuple(sorted(people))
    facts = [
        replace(fact, word=made_up(rng, ending="ly")) if rng.random() < novel else fact
        for fact in draw_facts(rng, n=n_facts, people=people)
    ]
    asked = rng.choice(facts)
    person, activity, answer = asked.person, asked.activity, fronted(asked)
    kind = rng.random()
    if kind < absent:
        person, activity = draw_absent(rng, facts)
        answer = f"Nobody knows whether {person} {activity.third} {activity.rest}."
    elif kind < absent + contradictory:
        words = rng.sample(rng.choice(OPPOSITE_WORDS), 2)
        facts[facts.index(asked)] = replace(asked, word=words[0])
        facts.insert(rng.randrange(len(facts) + 1), replace(asked, word=words[1]))
        answer = f"Accounts differ whether {person} {activity.third} {activity.rest}."
    others = [fact for fact in facts if (fact.person, fact.activity) != (person, activity)]
    rng.shuffle(others)
    passage = " ".join(statement(fact) for fact in facts)
    return Document(
        prompt=f"Question: {question(person, activity)} Context: {passage}",
        restatement=" ".join(["", answer, *(statement(fact) for fact in others)]),
    )


def build_tokenizer(*, vocab_size: int, seed: int, n_documents: int = 4000) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on documents of the world; it adds BOS like LLaMA's own."""
    rng = Random(f"tokenizer/{seed}")
    documents = (draw_document(rng, n_facts=6, absent=0.1, contradictory=0.1, novel=0.1) for _ in range(n_documents))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((doc.prompt + doc.restatement for doc in documents), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, args: argparse.Namespace) -> LlamaForCausalLM:
    """Return a freshly initialised LLaMA with grouped-query attention and tied embeddings."""
    torch.manual_seed(args.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=args.intermediate,
        num_hidden_layers=args.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def collate(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    """Return right-padded input ids and labels; every label outside the restatements is ignored."""
    prompts = tokenizer([doc.prompt for doc in documents])["input_ids"]
    rests = tokenizer([doc.restatement for doc in documents], add_special_tokens=False)["input_ids"]
    length = max(len(prompt) + len(rest) + 1 for prompt, rest in zip(prompts, rests, strict=True))
    ids = torch.full((len(documents), length), tokenizer.pad_token_id)
    labels = torch.full_like(ids, IGNORED)
    for row, (prompt, rest) in enumerate(zip(prompts, rests, strict=True)):
        rest = [*rest, tokenizer.eos_token_id]
        end = len(prompt) + len(rest)
        ids[row, :end] = torch.tensor(prompt + rest)
        labels[row, len(prompt) : end] = torch.tensor(rest)
    return {"input_ids": ids, "labels": labels}


def batches(tokenizer: PreTrainedTokenizerFast, args: argparse.Namespace) -> Iterator[dict[str, torch.Tensor]]:
    """Yield one batch per step; passages within a batch have equally many facts, and grow with time."""
    rng = Random(f"documents/{args.seed}")
    for step in range(args.steps):
        progress = step / args.steps
        longest = 4 if progress < args.short else 7 if progress < 2 * args.short else 22
        n_facts = rng.randint(2, min(longest, 7)) if rng.random() < 0.75 else rng.randint(2, longest)
        size = max(8, round(args.facts_per_batch / n_facts))
        shares = {"absent": args.absent, "contradictory": args.contradictory, "novel": args.novel}
        yield collate([draw_document(rng, n_facts=n_facts, **shares) for _ in range(size)], tokenizer)


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, args: argparse.Namespace) -> float:
    """Train in place with AdamW, linear warm-up and cosine decay; return the last 50 steps' mean loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.01)
    warm = 100
    losses: list[float] = []
    start = time.perf_counter()
    for step, batch in enumerate(batches(tokenizer, args)):
        rate = min(1.0, (step + 1) / warm) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        optimizer.param_groups[0]["lr"] = args.lr * rate
        hidden = model.model(input_ids=batch["input_ids"]).last_hidden_state[:, :-1]
        targets = batch["labels"][:, 1:]
        scored = targets != IGNORED
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[scored]), targets[scored])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 99:
            found = {name: retrieval_accuracy(model, tokenizer, name, n=100) for name in ("validation", "long_passages")}
            mean = sum(losses[-50:]) / 50
            print(f"step {step + 1} loss {mean:.3f} {found} {time.perf_counter() - start:.0f} s", flush=True)
    return sum(losses[-50:]) / len(losses[-50:])


@torch.no_grad()
def retrieval_accuracy(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, name: str, *, n: int) -> float:
    """Return the share of a set's prompts after which the asked fact's frequency word is predicted."""
    p_word = {word.p_yes: word.text for word in WORDS}
    hits = 0
    for example in generate(name, n=n, seed=977):
        prompt = f"Question: {example.fields['question']} Context: {example.fields['passage']}"
        logits = model(input_ids=torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0, -1]
        word = p_word[example.true_probs[1]]
        expected = tokenizer(" " + capitalised(word), add_special_tokens=False)["input_ids"][0]
        hits += int(logits.argmax().item() == expected)
    return hits / n


def parse_args() -> argparse.Namespace:
    """Return the command line's settings; the defaults are those of the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--intermediate", type=int, default=256)
    parser.add_argument("--vocab-size", type=int, default=1024)
    parser.add_argument("--facts-per-batch", type=int, default=320)
    parser.add_argument("--short", type=float, default=0.15)
    parser.add_argument("--absent", type=float, default=0.1)
    parser.add_argument("--contradictory", type=float, default=0.1)
    parser.add_argument("--novel", type=float, default=0.1)
    return parser.parse_args()


def main() -> None:
    """Build the tokenizer and the model, train, report retrieval on held-out passages, and save."""
    args = parse_args()
    tokenizer = build_tokenizer(vocab_size=args.vocab_size, seed=args.seed)
    model = build_model(tokenizer, args)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens", flush=True)
    train(model, tokenizer, args)
    model.eval()
    for name in ("validation", "unknown_names", "long_passages"):
        print(f"retrieval on {name}: {retrieval_accuracy(model, tokenizer, name, n=300):.3f}")
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    main()
