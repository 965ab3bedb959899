"""`latentgen repair`: improve a network without retraining."""

from latentgen.repairing.command import repair_command as command

__all__ = ["command"]
