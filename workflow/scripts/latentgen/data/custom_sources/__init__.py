"""Custom data sets: a module per kind of source, and the checks that all of them share."""
