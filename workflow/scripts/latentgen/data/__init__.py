"""Data sets and their labels: where they come from, how they are checked, and how labels are corrupted."""
