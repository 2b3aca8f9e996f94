"""The commands of `python -m aiojobs_verification`, one module each."""
