"""What is written from the specification: words, tables, pictures, TLA+ text."""
