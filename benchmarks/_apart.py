"""Measurements of the engine that need processes of their own: peak memory, and several processes together.

_apart.py memory N DEVICE FOLDER        prints the input's size, the peak above it, both in MB, and the seconds
_apart.py share N WORLD STORE RANK      prints the seconds that the process of that rank takes for its share of N points
"""

import json
import os
import subprocess
import sys
import tempfile

import _rounds
import torch

COMMAND = (sys.executable, __file__)


def memory_in_a_process(n, device, folder=_rounds.ROOT):
    """What `memory` prints of n points with the code in a folder: `input`, `peak` and `seconds`."""
    command = [*COMMAND, "memory", str(n), device, str(folder)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def seconds_of_processes(world, n):
    """The seconds that processes take to measure n points, each having its share and two threads between them."""
    threads = str(max(1, 2 // world))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with tempfile.TemporaryDirectory() as folder:
        command = [*COMMAND, "share", str(n), str(world), f"{folder}/store"]
        work = [
            subprocess.Popen([*command, str(rank)], env=environment, stdout=subprocess.PIPE) for rank in range(world)
        ]
        try:
            said = [each.communicate(timeout=600)[0] for each in work]
        finally:
            for each in work:
                each.kill()
        if any(each.returncode for each in work):
            raise SystemExit(f"a process of {world} failed: {[each.returncode for each in work]}")
        return max(map(float, said))


def memory(n, device, folder):
    """The minimum over the temperature of so many points of MNIST's dimensions."""
    sys.path.insert(0, folder)
    from _losses import mixture

    from snnl_core.pairs import all_pairs
    from snnl_core.temperature import minimize

    torch.manual_seed(0)
    torch.set_default_device(device)
    x, labels = mixture(int(n), 784)
    everyone = torch.zeros(1, len(x), dtype=torch.int64)
    taken, peak, _ = _rounds.peak(lambda: minimize(all_pairs(x, labels), everyone, 1), device)
    print(json.dumps({"input": x.numel() * 4 / 2**20, "peak": peak, "seconds": taken}))


def share(n, world, store, rank):
    """The entanglement of points that lie in parts in the processes."""
    from _losses import mixture

    from snnl_core import entanglement

    torch.manual_seed(0)
    n, world, rank = int(n), int(world), int(rank)
    x, labels = mixture(n, 512)
    rows = slice(n * rank // world, n * (rank + 1) // world)
    if world > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        torch.distributed.barrier()
    print(_rounds.seconds(lambda: entanglement(x[rows], labels[rows], sharded=world > 1)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    {"memory": memory, "share": share}[sys.argv[1]](*sys.argv[2:])
