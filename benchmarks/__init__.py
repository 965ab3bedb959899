"""What the workflow's steps cost, beside other ways to the same results and the machine's best.

``make bench`` runs everything and writes ``docs/benchmarks.md`` with its figures, and the numbers behind
them, ``benchmarks/results.json``. What is compared is timed in turn, in one process, on the same real inputs,
so that other load on the machine affects all alike: read the ratios, not the seconds.
"""
