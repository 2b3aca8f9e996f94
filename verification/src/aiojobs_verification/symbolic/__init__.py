"""Link 4 of the chain, symbolic execution: CrossHair confirms contracts of the pure core over all paths."""
