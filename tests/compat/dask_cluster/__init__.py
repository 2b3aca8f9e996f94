"""Jobs that govern work on a Dask cluster: real processes, and some are killed."""
