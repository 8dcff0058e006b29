"""A Slurm of two virtual nodes on loopback, for tests: no root, no systemd, no cgroups, no accounting."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin"
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "setpriv")
MISSING = [tool for tool in TOOLS if not shutil.which(tool, path=PATH)]

CONF = """
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
MailProg=/bin/true
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=5
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000 Gres=gpu:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000 Gres=gpu:2
PartitionName=main Nodes=n1,n2 Default=YES DefaultTime=10 MaxTime=60
"""
GRES = "NodeName=n[1-2] Name=gpu File=/dev/tty[0-1]\n"  # devices that are no GPUs, but can be allotted like them


class Cluster:
    """The daemons, by the names munged, slurmctld, n1 and n2, and the folder of their files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        munge = root / "munge"
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._commands = {
            "munged": ["munged", "-F", *(f"--{option}={munge / name}" for option, name in files.items())],
            "slurmctld": ["slurmctld", "-D"],
            **{node: ["slurmd", "-D", "-N", node] for node in ("n1", "n2")},
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start one; it ends with this process."""
        with (self.root / "daemons.log").open("ab") as log:
            tied = ["setpriv", "--pdeathsig", "TERM", *self._commands[name]]
            settings = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": self.root}
            self._daemons[name] = subprocess.Popen(tied, **settings)

    def kill(self, name: str) -> None:
        """Kill one, as a fault would."""
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def end(self) -> None:
        """End all of them, the latest first."""
        for name, daemon in reversed([*self._daemons.items()]):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:  # a slurmd was seen to wait for longer
                self.kill(name)


@contextmanager
def virtual_slurm(seconds: float = 30.0) -> Iterator[Cluster]:
    """Start it and set SLURM_CONF; end it, and what runs in it, with the block."""
    root = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    before = {name: os.environ.get(name) for name in ("SLURM_CONF", "PATH")}
    cluster = Cluster(root)
    try:
        _lay_out(root)
        os.environ |= {"SLURM_CONF": str(root / "slurm.conf"), "PATH": PATH}
        cluster.start("munged")
        _until((root / "munge" / "socket").exists, seconds, root)
        for name in ("slurmctld", "n1", "n2"):
            cluster.start(name)
        _until(lambda: said("sinfo", "-h", "-t", "idle", "-o", "%D") == "2", seconds, root)
        yield cluster
    finally:
        said("scancel", "--me")
        with suppress(TimeoutError):
            _until(lambda: not said("squeue", "-h", "-t", "RUNNING,COMPLETING"), 15, root)
        cluster.end()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        shutil.rmtree(root, ignore_errors=True)


def _lay_out(root: Path) -> None:
    root.chmod(0o711)  # munged refuses a socket that others cannot reach
    for name, mode in {"munge": 0o711, "state": 0o700, "spool-n1": 0o755, "spool-n2": 0o755}.items():
        (root / name).mkdir()
        (root / name).chmod(mode)
    key = root / "munge" / "key"
    key.touch(0o600)
    key.write_bytes(os.urandom(1024))
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    host = socket.gethostname().partition(".")[0]
    (root / "slurm.conf").write_text(CONF.format(root=root, ports=ports, host=host, user=getpass.getuser()))
    (root / "gres.conf").write_text(GRES)


def _until(there, seconds: float, root: Path) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            tails = [f"{path.name}: {path.read_text()[-1500:]}" for path in root.glob("*.log")]
            raise TimeoutError("Slurm did not get there.\n" + "\n".join(tails))
        time.sleep(0.1)


def said(*command: str) -> str:
    """What a command says."""
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": PATH}).stdout.strip()
