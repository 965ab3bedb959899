"""Benchmarks of the workflow's steps against other methods for the same results and the machine's peak.

``make bench`` runs all and writes ``docs/benchmarks.md`` with its figures, and the numbers behind them,
``benchmarks/results.json``. Methods are timed in turn, in one process, on the same real inputs, so that other
load on the machine affects all equally: read the ratios, not the seconds.
"""
