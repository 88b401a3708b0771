"""Members are asked one after another, and the rest is not asked where that would hardly change the decision."""
