"""Networks, their layers' activations, and their weights on disk."""
