"""Pass SIGTERM on to a job's script.

SLURM with control groups, as at most sites, sends SIGTERM only to the first process of a job step. That is a
Snakemake, which waits for the script it runs. The script would not receive the signal, and would be killed
half a minute later without saving its state.
"""

import os
import signal
import threading


def pass_on_sigterm() -> None:
    """Pass a SIGTERM on to the whole process group, even if this process handles it otherwise."""
    received, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGTERM not in os.read(received, 64):
            pass  # another signal
        os.killpg(os.getpgrp(), signal.SIGTERM)  # this process is in the group and receives it twice

    threading.Thread(target=wait, daemon=True).start()
