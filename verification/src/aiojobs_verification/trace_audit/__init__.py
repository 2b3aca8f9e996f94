"""The audit of traces: does what `aiojobs.tracing` wrote down obey the specification, and where not first?"""
