"""Floor 3: the joint training of all members; `loop.py` is the file to read first."""
