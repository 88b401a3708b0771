"""Floor 3, after training: from members to predictions, uncertainty, metrics and the report.

Everything after `predictions.parquet` runs on the CPU without torch, also on predictions of another system.
"""
