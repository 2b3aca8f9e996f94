"""Link 7 of the chain: recorded runs, the monitor that follows them, corrupted copies that it must refuse."""
