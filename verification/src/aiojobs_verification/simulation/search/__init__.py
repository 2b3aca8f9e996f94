"""Ways through the world: every one up to bounds, at random, by Hypothesis."""
