"""Training with checkpoints that resumes with bit-identical results."""
