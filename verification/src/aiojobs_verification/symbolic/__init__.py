"""Link 4 of the chain: contracts of the pure core, confirmed over all paths by CrossHair."""
