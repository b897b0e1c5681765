"""Measure the figures that the README quotes: ``python -m benchmarks``.

Each figure is taken in one run on one machine, next to what it is compared with, in turns (A B A B ...), on a real
Redis that the benchmark starts on a temporary Unix socket.
"""
