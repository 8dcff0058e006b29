"""Plumbing without science: registry, configs, cells, executors, run folders, the table, statistics, reports."""
