"""Processes of their own that start at once: forks of one clean process.

That one has imported the libraries that take seconds to import, and this project's modules, of which any can be
imported first (`test_layering.py`). Where a system cannot fork, new processes do the same, in more time. The processes
that test are such forks too, by `forked.py`.
"""

import gc
import inspect
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing import forkserver, reduction, util
from operator import methodcaller
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = """
accelerate click filelock hypothesis jinja2 numpy pandas PIL.Image pydantic.dataclasses pydantic.fields pydantic.main
pydantic.functional_validators pytest rich.progress safetensors.torch scipy.stats tomllib torch torch._dynamo
matplotlib.figure matplotlib.backends.backend_agg matplotlib.backends.backend_pdf matplotlib.backends.backend_svg
sklearn.decomposition sklearn.manifold torchvision.models.feature_extraction
""".split()
OWN = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder in sorted(path.parent for path in ROOT.glob("*/__init__.py") if path.parent != ROOT / "tests")
    for path in sorted(folder.rglob("*.py"))
]
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How `multiprocessing` starts processes: with the libraries at hand, if it can."""
SHARED = "TESTS_FORK_SERVER"
"""The variable that tells those who test where that one process is."""
LIMIT = timedelta(seconds=60)
COMMANDS = {str(ROOT / "cli.py"), str(ROOT / "lab" / "running" / "torchrun.py")}
"""The scripts that are forks where a fork starts them; benchmarks, for one, measure what a new process takes."""
CONTEXT = multiprocessing.get_context(METHOD)
GET_MODULE = inspect.getmodule
LEFT = []
"""Groups of processes that this one has left: see `lab.training.together.leave`."""
if METHOD == "forkserver":
    CONTEXT.set_forkserver_preload(["tests.forks", *LIBRARIES, *OWN])
gc.set_threshold(50_000, 50, 100)  # as in cli.py


def share_server():
    """Start the process whose forks are used, for this process and those that it starts: importing takes seconds."""
    if METHOD == "forkserver":
        server = forkserver._forkserver
        server.ensure_running()
        shared = [server._forkserver_address, getattr(server, "_forkserver_authkey", b"").hex()]
        os.environ[SHARED] = json.dumps(shared)


def take_shared_server():
    """Use the forks of the process that another one has started, if it has."""
    if METHOD == "forkserver" and SHARED in os.environ:
        server = forkserver._forkserver
        address, key = json.loads(os.environ.pop(SHARED))
        server._forkserver_address, server._forkserver_authkey = address, bytes.fromhex(key)
        server._forkserver_alive_fd = os.pipe()[1]  # it is the other's end that tells when to end
        server.ensure_running = lambda: None


def no_sync(descriptor):
    """In the place of `os.fsync`: as if the disk had told at once that it has everything."""
    os.fstat(descriptor)


def run(script, arguments, cwd, variables, timeout):
    """Run a script in a folder, with these variables of the environment alone; the finished process."""
    return Running(script, arguments, cwd, variables).finished(timeout)


class Running:
    """A script that runs in a folder, with these variables of the environment alone."""

    def __init__(self, script, arguments, cwd, variables):
        self._words, self._said = [script, *arguments], tempfile.TemporaryDirectory()
        given = (script, arguments, cwd, dict(variables), self._said.name)
        self._process = CONTEXT.Process(target=_be, args=given)
        self._process.start()

    def finished(self, timeout):
        """Wait for its end; the finished process."""
        with self._said as said:
            self._process.join(timeout)
            if self._process.exitcode is None:
                self._process.kill()
                raise subprocess.TimeoutExpired(self._words, timeout)
            out, err = (Path(said, name).read_text(encoding="utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess(self._words, self._process.exitcode, out, err)

    def send_signal(self, number):
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def kill(self):
        """End it, if it runs."""
        self._process.kill()
        self._process.join()
        self._said.cleanup()


def run_code(code):
    """Run `python -c CODE` with this process's streams and variables; the code that it ended with."""
    variables = dict(os.environ)
    take_shared_server()
    process = CONTEXT.Process(target=_be_code, args=(code, variables, [_Stream(number) for number in range(3)]))
    process.start()
    process.join()
    return process.exitcode


def together(file, name, count, *given):
    """Call a file's function in so many processes that find each other, as those do that torchrun starts.

    Each has one thread. A `count` of 1 is a process alone, which finds nobody.
    """
    from torch import multiprocessing as several

    with tempfile.TemporaryDirectory() as folder:
        about = (count, Path(folder, "meet").as_uri(), file, name, given)
        several.start_processes(_be_one_of, about, nprocs=count, start_method=METHOD)


class _Stream:
    """A descriptor that is handed to a fork, which gets the number that it has there."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return methodcaller("detach"), (reduction.DupFd(self.number),)


def _be_code(code, variables, streams):
    """Be `python -c CODE`."""
    gc.freeze()
    for number, given in enumerate(streams):
        os.dup2(given, number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))
    _take_variables(variables)
    sys.argv[:] = ["-c"]
    exec(code, {"__name__": "__main__"})


def _be(script, arguments, cwd, variables, said):
    """Be `python SCRIPT ARGUMENT ...`."""
    gc.freeze()  # looking through the libraries' objects would copy them
    _forget_signals()
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(Path(said, name), os.O_WRONLY | os.O_CREAT), number)
    _fork_others()
    os.chdir(cwd)
    _take_variables(variables)
    sys.argv[:] = [str(script), *map(str, arguments)]
    sys.path[:] = [str(Path(script).parent), str(ROOT), *_libraries()]
    runpy.run_path(str(script), run_name="__main__")


def _forked_worker(executable, words, descriptors):
    """In the place of what starts a process of `multiprocessing`: a fork does the same, and need not import it all."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        _forget_signals()
        kept = sorted({0, 1, 2, *map(int, descriptors)})
        for one, next_one in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(one + 1, next_one)
        program = words.index("-c") + 1
        sys.argv[:] = ["-c", *words[program + 1 :]]
        exec(words[program], {})
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code)


def _forget_signals():
    """Have signals do what they do to a new process."""
    for each in signal.valid_signals():
        if callable(signal.getsignal(each)):
            signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class _ForkingPopen(subprocess.Popen):
    """In the place of `subprocess.Popen`: a command of this project is a fork, and other programs are themselves."""

    def _execute_child(self, args, *settings):
        words = [args] if isinstance(args, (str, bytes)) else [os.fspath(word) for word in args]
        if words[0] != sys.executable or _script(words)[0] not in COMMANDS:
            super()._execute_child(args, *settings)
            return
        cwd, variables, streams, anew = settings[4], settings[5], settings[9:15], settings[20]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if not self.pid:
            _be_program(words, cwd, variables, (streams[0], streams[3], streams[5]), anew)
        self._child_created = True
        self._close_pipe_fds(*streams)


class ForkedProgram(subprocess.Popen):
    """In the place of `subprocess.Popen`, too, in a process that is not fit to be forked: a fork of the clean one.

    It is a program of Python's: a script, or `-c CODE`.
    """

    def _execute_child(self, args, *settings):
        cwd, variables, streams, anew = settings[4], settings[5], settings[9:15], settings[20]
        given = [_Stream(n if end == -1 else end) for n, end in enumerate((streams[0], streams[3], streams[5]))]
        about = ([*map(str, args)], cwd or Path.cwd(), dict(variables or os.environ), given, anew)
        self._process = CONTEXT.Process(target=_be_forked_program, args=about)
        self._process.start()
        self.pid, self._child_created = self._process.pid, True
        self._close_pipe_fds(*streams)

    def _internal_poll(self, *_, **__):
        if self.returncode is None and self._child_created:
            self.returncode = self._process.exitcode
        return self.returncode

    def _wait(self, timeout):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode


if METHOD != "forkserver":
    ForkedProgram = subprocess.Popen


def _be_forked_program(*about):
    """Be a program of which those that it starts are forks, too."""
    gc.freeze()
    _fork_others()
    sys.path[:] = _libraries()
    _be_program(*about)


class _Workers(type(CONTEXT)):
    """In the place of how the product has `multiprocessing` start workers: forks of the clean process.

    They have this process's variables and streams, and those that they start are forks, too.
    """

    def Process(self, target, args):
        return CONTEXT.Process(target=_be_worker, args=(_Surroundings(), target, *args))


class _Surroundings:
    """What a new process has of this one; a fork takes it as it unpacks it, before it imports what comes after it."""

    def __reduce__(self):
        return _take, (dict(os.environ), [_Stream(number) for number in (1, 2)])


def _take(variables, outputs):
    gc.freeze()
    _forget_signals()
    _fork_others()
    for number, given in enumerate(outputs, 1):
        os.dup2(given, number)
        os.close(given)
    _take_variables(variables)
    _forget_own()


def _be_worker(_, target, *args):
    """Be a worker: work as `multiprocessing` says."""
    target(*args)


def fork_workers():
    """Have the workers that the product starts from this process be forks."""
    if METHOD == "forkserver":
        multiprocessing.context._concrete_contexts["spawn"] = _Workers()


def _libraries():
    """Where libraries are imported from."""
    return [path for path in sys.path if path not in ("", str(ROOT), str(ROOT / "tests"))]


def _fork_others():
    """Have the processes that this one starts be forks of it; nobody waits for the disk."""
    os.fsync = no_sync
    if METHOD == "forkserver":
        util.spawnv_passfds, subprocess.Popen = _forked_worker, _ForkingPopen


def _take_variables(variables):
    """Have these variables of the environment alone, and the place of temporary files that they say."""
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = None


def _forget_own():
    """Have this project's modules be imported anew: other ones may be importable, and those here may have states."""
    own = {path.stem for path in ROOT.iterdir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]


def _script(words):
    """Of the command line of Python: the script and its arguments."""
    return [word for word in words[1:] if word not in ("-P", "-u")] or [""]


def _be_program(words, cwd, variables, streams, anew):
    """Be `python SCRIPT ARGUMENT ...`, which imports this project's code anew, and end."""
    code = 1
    try:
        if anew:
            os.setsid()
        _forget_signals()
        for number, given in enumerate(streams):
            if given != -1:
                os.dup2(given, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode, closefd=False) for n, mode in enumerate("rww"))
        os.chdir(cwd or ".")
        if variables is not None:
            _take_variables(variables)
        _forget_own()
        sys.argv[:] = _script(words)
        if "-P" not in words:
            sys.path.insert(0, str(Path(sys.argv[0]).parent))
        sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        inspect.getmodule = _no_module if Path(sys.argv[0]).name == "torchrun.py" else GET_MODULE
        if sys.argv[0] == "-c":
            exec(sys.argv.pop(1), {"__name__": "__main__"})
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        sys.stdout.flush()
        os._exit(code)


def _no_module(*about):
    """In the place of `inspect.getmodule`: torchrun asks hundreds of times, for names in a log that nobody keeps."""


def _be_one_of(rank, count, meeting, file, name, given):
    """Be process `rank` of `count`."""
    import torch
    from torch import distributed

    gc.freeze()
    os.fsync = no_sync
    torch.set_num_threads(1)
    if count > 1:
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ.update({name: str(number) for name, number in numbers.items()})
        distributed.init_process_group("gloo", meeting, LIMIT, count, rank)
    spec = spec_from_file_location(Path(file).stem, file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    getattr(module, name)(*given)
    if distributed.is_initialized():  # a training ends with its group
        LEFT.append(distributed.group.WORLD)
        distributed.destroy_process_group()
