"""Data sets and their labels: sources, checks, and corruption of labels."""
