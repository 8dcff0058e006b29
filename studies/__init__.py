"""The studies: one file per question, with its grid of cells, its report and its verdicts."""
