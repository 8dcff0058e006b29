"""Who does cells, and where: a schedule, executors, several processes, and the display of their progress."""
