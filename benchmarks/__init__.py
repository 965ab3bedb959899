"""What the workflow's steps cost, beside other ways to the same results and what the machine can do at best.

``make bench`` runs everything and writes ``results.md``, its figures ``results.png`` and ``growth.png``, and
the numbers behind them, ``results.json``. What is compared is timed in turn, in one process, on the same real
inputs, so that whatever else the machine does falls on all alike; read the ratios, not the seconds.
"""
