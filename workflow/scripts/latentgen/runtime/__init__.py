"""Common parts of all jobs: files, locks, logs, memory, devices, signals, code digests, import paths."""
