"""Jobs that govern work on a Dask cluster, and the exploration on its workers: real processes, and some are killed."""
