"""How prompts are put to a model: what stands around them, a chat's turns, and the ready prompts of known tasks."""
