"""Link 9 of the chain: its steps as a table, the evidence that each leaves, the verdict and the report."""
