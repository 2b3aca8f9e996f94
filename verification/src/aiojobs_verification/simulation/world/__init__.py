"""The world that a scheduler is put into: loop, callers, probes, and what the environment may do."""
