"""Edits of a trained network and of its labels: transfer, edits midway, relabelling."""
