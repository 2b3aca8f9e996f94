"""The specification files as data: read strictly, validated, and run as a program.

Everything else in `aiojobs.spec` starts from what is here; nothing here knows what it is used for.
"""
