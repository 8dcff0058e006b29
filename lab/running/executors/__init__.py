"""Places where cells are done, one file each, with a class `Executor` as `lab.running.schedule` describes it."""
