"""The oracle: what callers must be answered, what must be so when nothing moves, and who may be told what."""
