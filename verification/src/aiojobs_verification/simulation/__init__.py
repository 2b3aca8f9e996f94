"""Links 5 and 6 of the chain: the real scheduler in a small world on a deterministic loop, and its oracle."""
