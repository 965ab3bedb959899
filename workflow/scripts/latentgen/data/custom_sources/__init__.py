"""Custom data sets: a module per kind of source, and their common checks."""
