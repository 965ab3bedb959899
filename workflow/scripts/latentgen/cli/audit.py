"""`latentgen audit`: find labels that are probably wrong."""

from latentgen.repairing.command import audit_command as command

__all__ = ["command"]
