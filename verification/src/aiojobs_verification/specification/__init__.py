"""The specification files as data: read strictly, validated, and run as a program.

Everything else in `aiojobs_verification` starts from what is here; nothing here knows what it is used for.
"""
