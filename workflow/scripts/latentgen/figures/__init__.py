"""The figures of a study, each drawn from its tables alone."""
