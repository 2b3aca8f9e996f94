"""Link 2 of the chain, SMT proofs: the counters, proved for every limit, and the faults that proofs refute."""
