"""Link 8 of the chain: faults planted in table, counters, core and shell, and who finds them."""
