"""What every job needs: files, locks, logs, memory, devices, signals, code digests, import paths."""
