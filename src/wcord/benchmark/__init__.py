"""Suites of runs: pairs × methods × seeds, run by any number of processes, recorded and tabulated."""
