"""A method names its features, heads, losses and weights."""
