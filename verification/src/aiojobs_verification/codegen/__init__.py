"""Text from the specification: words, tables, pictures, TLA+ modules."""
