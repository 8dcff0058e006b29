"""Reports: their parts, tables, plots, intervals, verdicts, and where the numbers come from."""
