"""Link 8 of the chain, mutation testing: faults seeded in table, counters, core and shell, and their finders."""
