"""Exploration and fuzzing on the workers of a Dask cluster."""
