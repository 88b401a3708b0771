"""The members' adapters: which layers carry them, their stacked mathematics, their folders on disk."""
