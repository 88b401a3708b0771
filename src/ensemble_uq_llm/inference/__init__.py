"""Floor 3, after training: from members to predictions, uncertainty, metrics and the report.

Everything after `predictions.parquet` runs on the CPU without torch, also on predictions of another system.
Letters of shapes here, besides the house's: `D` bootstrap draws, `G` groups of equal score, `H` bins of a
histogram, `P` pairs of an example and a member.
"""
