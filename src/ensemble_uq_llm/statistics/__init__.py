"""Floor 0: numbers about a set of examples, and how sure one may be of them."""
