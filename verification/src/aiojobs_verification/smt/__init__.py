"""Link 2 of the chain: the counters, proved for every limit, and the faults that a proof must refute."""
