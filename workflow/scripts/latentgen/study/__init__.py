"""The study file: its settings, its runs, and the paths of their files."""
