"""The tidy tables of a study, statistics over seeds, and the papers' published numbers."""
