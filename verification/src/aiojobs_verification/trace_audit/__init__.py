"""Trace audit: does a trace, line by line, obey the specification?

Rules of this package: the follower judges, the same that judges live runs. What is here reads lines (`reading`), walks
through a file (`replay`), and shows that a trace which was tampered with is refused (`corrupt`, `demonstration`).
"""
