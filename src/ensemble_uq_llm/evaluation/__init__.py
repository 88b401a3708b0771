"""Floor 2: from what every member said to uncertainty, quality and decisions; needs no torch.

`evaluate.py` is the way in: `predictions/` reads what was predicted, `uncertainty.py` and `scores.py` measure it,
`quality/`, `decisions/` and `members/` say what that is worth, all on the draws of `statistics/`; `assemble.py` puts it
together as `records/`, and `metrics_json.py` writes them.

Letters of shapes here, besides the house's: `D` draws, `G` groups of equal score, `H` bins of a histogram, `P` pairs of
an example and a member, or of two members. What a single function needs beside these, it explains itself.
"""
