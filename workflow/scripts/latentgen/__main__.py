"""`python -m latentgen` is the command `latentgen`."""

from latentgen.cli import main

main()
