"""Floor 2: from what every member said to uncertainty, quality and decisions; needs no torch.

Arrays carry their shape as letters: `M` members, `N` examples, `C` classes, `D` draws, `G` groups of equal score,
`H` bins of a histogram, `K` sizes of an ensemble or scores to choose from, `P` pairs of example and member or of two
members, `R` rules, `S` subsets of the members, `W` examples that some member gets wrong.

`evaluate.py` is the way in: `predictions/` reads what was predicted, `uncertainty.py` and `scores.py` measure it,
`quality/`, `decisions/` and `members/` say what that is worth, all on draws of `statistics/`; `assemble.py` puts it
together as `records/`, and `metrics_json.py` writes them.
"""
