"""The study file: its settings, the runs that follow from it, and where their files are."""
