"""What tests of several folders use."""

import gc
import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import forks
import pytest
from filelock import FileLock
from hypothesis import settings

from lab import machine
from lab.cells.record import read_study

ROOT = Path(__file__).resolve().parent.parent
CLI = ROOT / "cli.py"
sys.dont_write_bytecode = False  # hundreds of processes import the same code: it is compiled once
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
settings.register_profile("shared", deadline=None)  # other tests have the processor meanwhile
settings.load_profile("shared")
NEW_MODULES, NEW_OBJECTS = 20, 20_000
"""More than so many are worth it: to leave them out of what is looked through for garbage, and to look at them."""
LAST = {"snnl_core": 1, "outside": 2, "metrics": 3, "evaluation": 4}


def pytest_configure(config):
    """Nobody waits for the disk: no test pulls the plug. Side by side, the processes that test share the cores."""
    os.fsync = forks.no_sync
    machine.keep_memory()
    forks.fork_workers()
    if "PYTEST_XDIST_WORKER" in os.environ:
        forks.take_shared_server()
    elif workers := config.getoption("numprocesses", 0):
        os.environ["OMP_NUM_THREADS"] = str(max(1, machine.threads() // workers))
        forks.share_server()


def pytest_runtest_setup(item):
    """Tests marked `cuda` are for where a GPU is."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA GPU here")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs):
    """The processes that test are forks as well, where a system can fork."""
    if forks.METHOD == "forkserver":
        for spec in specs:
            spec.python = shlex.join([sys.executable, str(ROOT / "tests" / "forked.py")])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are processors: a worker waits for processes that it started, and these for each other."""
    return machine.threads() + 1


def pytest_collection_modifyitems(items):
    """Files of long tests, which start processes, come first, quick ones last: so that the workers end together."""
    items.sort(key=lambda item: LAST.get(item.path.relative_to(ROOT / "tests").parts[0], 0))


def pytest_collection_finish(session):
    """What is imported by now stays: no collection of garbage need look through it."""
    keep_what_is_there()


def pytest_runtest_teardown(item, nextitem):
    """Nor through what is imported later, or left by a file: Accelerate collects garbage after each training."""
    new = len(sys.modules) - keep_what_is_there.modules
    if nextitem is None or nextitem.path != item.path or new > NEW_MODULES:
        if gc.get_count()[0] > NEW_OBJECTS:
            gc.collect()
        keep_what_is_there()


def keep_what_is_there():
    """Have collections of garbage leave out all that is there now."""
    gc.freeze()
    keep_what_is_there.modules = len(sys.modules)


@pytest.fixture(params=["pretended", pytest.param("cuda", marks=pytest.mark.cuda)])
def gpu(request):
    """The device of a GPU: of a pretended one, which every processor has, and of a real one where there is one."""
    if request.param == "cuda":
        import torch

        yield torch.device("cuda")
        return
    import pretended

    with pretended.pretended_gpu():
        yield pretended.GPU


@pytest.fixture
def heeded():
    """What asks to end is heeded, by processes that are started meanwhile, too; under `nohup`, and in the background of
    a script, it is ignored."""
    ends = {getattr(signal, name, None) for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGUSR1")} - {None}
    ignored = [number for number in ends if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session")
def snnl(tmp_path_factory):
    """Run the command line in an empty folder; gives the finished process.

    It is a fork, which starts at once; with `anew` a process as people start it, whose libraries find the variables of
    the environment as they are imported.
    """
    home = tmp_path_factory.mktemp("home")

    def run(*arguments, cwd=home, timeout=300, anew=False, **environment):
        variables = {**os.environ, "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
        variables.pop("SNNL_DATA", None)
        words = [*map(str, arguments)]
        if not anew:
            return forks.run(CLI, words, cwd, variables, timeout)
        settings = {"cwd": cwd, "env": variables, "timeout": timeout}
        return subprocess.run([sys.executable, CLI, *words], capture_output=True, text=True, **settings)

    return run


@pytest.fixture(scope="session")
def python():
    """Run a piece of Python in a process of its own; gives its standard output."""

    def run(code):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """A function that makes something in a folder, once for all processes that test; gives what was made.

    Of those who want it, the first one makes it and the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"

    def made(name, make):
        folder = shared / name
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "made.pickle"
        with FileLock(folder / "lock"):
            if not known.exists():
                (folder / "home").mkdir()
                known.write_bytes(pickle.dumps(make(folder / "home")))
        return folder / "home", pickle.loads(known.read_bytes())

    return made


@pytest.fixture(scope="session")
def study(snnl, once, tmp_path_factory):
    """The smoke study, run once: (home, arguments, the finished process). The home is this process's own copy."""
    arguments = ["study", "gan-entanglement", "--preset", "smoke", "--runs", "my runs", "--json"]

    def make(home):
        done = snnl(*arguments, cwd=home)
        assert done.returncode == 0, done.stderr
        return done

    home, done = once("study", make)
    return shutil.copytree(home, tmp_path_factory.mktemp("study") / "home"), arguments, done


@pytest.fixture(scope="session")
def incomplete(snnl, once, tmp_path_factory):
    """A study one of whose cells fails: (home, arguments, the finished process, what is in the cell's way).

    Its page is kept as `incomplete.html` in the home, which is this process's own copy.
    """
    arguments = ["study", "gan-entanglement", "--preset", "smoke", "--seeds", "1", "--runs", "runs"]
    arguments += ["--kimg", "0.3", "--points", "2", "--n", "20", "--executor", "here", "--svg-only", "--json"]

    def make(home):
        plan = snnl(*arguments, "--dry-run", cwd=home).stdout
        victim = next(word for word in plan.split() if word.startswith("gan-dcgan-"))
        blocked = home / "runs" / "cells" / victim / "snapshots"
        blocked.parent.mkdir(parents=True)
        blocked.write_text("a file where a folder should be")
        done = snnl(*arguments, cwd=home)
        shutil.copyfile(home / json.loads(done.stdout.splitlines()[-1])["report"], home / "incomplete.html")
        return done, blocked.relative_to(home)

    home, (done, blocked) = once("incomplete", make)
    copied = shutil.copytree(home, tmp_path_factory.mktemp("incomplete") / "home")
    return copied, arguments, done, copied / blocked


@pytest.fixture(scope="session")
def redrawn(once):
    """A function that draws a published study's report as on a fresh clone, by its hash; gives what the command said.

    All are drawn by processes that test, which need not find fonts and templates for each anew. `wrong` in what is
    given tells where figures draw other things than their data; of what a study published several times in the first.
    """
    from click.testing import CliRunner
    from drawn import faults

    from commands.report import command
    from lab.reporting import report

    write = report._write_figure

    def drawn(name):
        (published,) = (ROOT / "results" / "studies").glob(f"*/{name}")

        def make(home):
            wrong, first = [], min(published.parent.iterdir()) == published

            def write_checked(figure, *how):
                wrong.extend(faults(figure) if first else [])
                return write(figure, *how)

            for path in (published, *(ROOT / "results" / "cells" / cell for cell in read_study(published).cells)):
                shutil.copytree(path, home / path.relative_to(ROOT / "results"))
            folder = home / published.relative_to(ROOT / "results")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(report, "_write_figure", write_checked)
                done = CliRunner().invoke(command, [str(folder), "--svg-only", "--json"])
            said = done.stderr if done.exit_code != 1 else "".join(traceback.format_exception(*done.exc_info))
            found = subprocess.CompletedProcess(["report", folder], done.exit_code, done.stdout, said)
            found.wrong = wrong
            return found

        return once(f"published-{name}", make)[1]

    return drawn


@pytest.fixture(scope="session")
def data_at_hand():
    """The folder with MNIST and others, where there is one: SNNL_DATA, or one beside the checkout."""
    for folder in (os.environ.get("SNNL_DATA"), ROOT.parent / "shared" / "datasets"):
        if folder and (Path(folder) / "MNIST").is_dir():
            return Path(folder)
    pytest.skip("no folder with MNIST: name one with SNNL_DATA")
