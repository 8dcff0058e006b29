"""The tests. A package, so that processes that tests start find them even where an installed one is called `tests`."""
