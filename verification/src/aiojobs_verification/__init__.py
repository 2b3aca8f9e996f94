"""The verification of aiojobs: `python -m aiojobs_verification --help`.

Reading, validating and generating need the standard library alone, and work where the library can't be imported
because a table that is generated for it is stale. What needs a tool (z3, CrossHair) imports it where it is used.

The packages, each of which imports only what stands before it: `specification`, `codegen`, `smt`, `model_checking`,
`symbolic`, `follower`, `simulation`, `trace_audit`, `fault_injection`, `cli`. `evidence` stands by itself: it reads
what steps have left and imports none of them.
"""

__all__ = ["__version__"]

__version__ = "2.0.0"
