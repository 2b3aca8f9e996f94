"""The oracle: the answers that callers must get, the invariants of a quiet loop, and who may receive what."""
