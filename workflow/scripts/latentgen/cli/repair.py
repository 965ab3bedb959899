"""`latentgen repair`: a better network, with nothing retrained."""

from latentgen.repairing.command import repair_command as command

__all__ = ["command"]
