"""The works of `_works` as the code in a folder does them, timed in a process of its own.

Today's code is timed in such a process, too, in turn with another folder's: in the process of the benchmark memory
lies as the other works left it, which made a training step slower by a twentieth.

_before.py FOLDER DEVICE     reads lines [name, arguments, calls] and answers each with the seconds of a call
"""

import json
import subprocess
import sys
from functools import cache

import _rounds


class Code:
    """The code in a folder, such as a worktree of an earlier commit."""

    def __init__(self, folder, device):
        self.folder = folder
        command = [sys.executable, __file__, str(folder), device]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def work(self, name, *arguments):
        """A work whose seconds are measured there."""

        def done():
            done.seconds(1)

        def seconds(calls):
            print(json.dumps([name, arguments, calls]), file=self._process.stdin, flush=True)
            return float(self._process.stdout.readline())

        done.seconds = seconds
        return done

    def close(self):
        """End its process."""
        self._process.stdin.close()
        self._process.wait()


def main(folder, device):
    """Answer until there is no more to read."""
    sys.path.insert(0, folder)
    import torch
    from _works import made

    torch.set_default_device(device)
    known = cache(made)
    for line in sys.stdin:
        name, arguments, calls = json.loads(line)
        print(_rounds.seconds(known(name, *arguments), calls), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
