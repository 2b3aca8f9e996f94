"""Link 3 of the chain: the scheduler with named jobs as a model, explored here and checked by TLC."""
