"""The studies: one folder a question, with its grid of cells, its report and its verdicts."""
