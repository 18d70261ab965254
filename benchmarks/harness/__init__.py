"""Runs the trials of a table, once each, and makes a page of them."""

from benchmarks.harness.collect import Column, Table, collect, write_table
from benchmarks.harness.processes import run_trials
from benchmarks.harness.trial import Trial, finished, result_file, run_trial

__all__ = [
    "Column",
    "Table",
    "Trial",
    "collect",
    "finished",
    "result_file",
    "run_trial",
    "run_trials",
    "write_table",
]
