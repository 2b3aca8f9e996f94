"""Traces: recording what a scheduler does, and auditing it. `TraceWriter` is what a program needs of it."""

from aiojobs.tracing import TraceWriter

__all__ = ["TraceWriter"]
