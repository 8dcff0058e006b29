"""`python tests/forked.py -u -c CODE` does what `python -u -c CODE` does, in a fork that has the libraries at hand."""

import sys

import forks

if __name__ == "__main__":
    sys.exit(forks.run_code(sys.argv[-1]))
