"""A job that is told to end is told so wherever its scheduler thought of telling it.

SLURM with control groups, as most sites have it, sends SIGTERM to a job step's first process alone. That is a
Snakemake, which then waits for the script it runs to finish; the script hears nothing, saves nothing, and is
killed half a minute later.
"""

import os
import signal
import threading


def pass_on_sigterm() -> None:
    """Let a SIGTERM to this process reach its whole process group, whatever handles it here, now or later."""
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGTERM not in os.read(heard, 64):
            pass  # another signal
        os.killpg(os.getpgrp(), signal.SIGTERM)  # this process is in it, and hears of it twice

    threading.Thread(target=wait, daemon=True).start()
