"""Jobs under the packages that real programs use: each file runs in a process of its own, see `__main__`."""
