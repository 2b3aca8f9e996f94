"""The executable side of the specification in `spec/`: `python -m aiojobs.spec --help`.

Reading, validating and generating need the standard library alone. What needs a tool (`transitions`, z3)
imports it inside the module that uses it, so that the rest works without it.

Deliberately not here: anything that the library imports at run time. Data flows one way, from the
specification to the generated table to the library.
"""
