"""SIGTERM reaches a job's script wherever the scheduler sends it.

SLURM with control groups, as most sites have it, sends SIGTERM to the first process of a job step alone. That
is a Snakemake, which waits for the script it runs. The script would never receive the signal, save nothing,
and be killed half a minute later.
"""

import os
import signal
import threading


def pass_on_sigterm() -> None:
    """Pass a SIGTERM to this process on to its whole process group, whatever handles it here."""
    received, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGTERM not in os.read(received, 64):
            pass  # another signal
        os.killpg(os.getpgrp(), signal.SIGTERM)  # this process is in it, and receives it twice

    threading.Thread(target=wait, daemon=True).start()
