"""Commands about when to answer, and when to abstain."""
