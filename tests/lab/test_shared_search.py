"""A search whose trials lie in a database, from which several workers take them."""

import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest
from searching import run
from sqlalchemy.exc import OperationalError
from waiting import wait_for

from lab.errors import UsageError, WorkbenchError
from lab.studying import shared
from lab.studying.shared import SharedTrials
from lab.studying.space import Choice, Range

SPACE = {"x": Range(1e-3, 1.0).distribution(), "kind": Choice(("good", "bad")).distribution()}
IDENTITY = {"study": "parabola", "space": {"words": ("good", "bad")}}
PLACES = [*os.environ["PATH"].split(os.pathsep), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
MISSING = [name for name in ("initdb", "postgres") if not shutil.which(name, path=os.pathsep.join(PLACES))]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Hearts beat every second, and a worker is dead after two without."""
    for name, seconds in {"BEAT": 1, "GRACE": 2, "PAUSE": 0.2}.items():
        monkeypatch.setattr(shared, name, seconds)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'trials.db'}"


def work(trials, count, together=1, upon=lambda params: None):
    """What a worker tries until there are so many trials; the score is the setting x."""
    tried = []
    rounds = trials.rounds(count, together)
    try:
        for proposed in rounds:
            for number, params in proposed.items():
                upon(params)
                tried.append(params)
                trials.tell(number, params["x"])
    finally:
        rounds.close()
    return tried


def test_a_second_worker_goes_on_with_the_trials_of_the_first(url):
    first = work(SharedTrials(url, IDENTITY, SPACE), 3, together=2)
    again = SharedTrials(url, IDENTITY, SPACE)
    more = work(again, 5)
    assert [params for _, params, _ in again.told()] == first + more and len(more) == 2
    assert [score for _, _, score in again.told()] == [params["x"] for params in first + more]
    assert work(again, 5) == []


def test_what_a_worker_broke_off_is_tried_again(url):
    trials, broken = SharedTrials(url, IDENTITY, SPACE), []

    def stop(params):
        broken.append(params)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(trials, 2, upon=stop)
    assert not trials.told()
    assert work(trials, 2)[0] == broken[0]


def test_what_a_dead_worker_was_at_is_tried_again_and_it_tells_nothing_more(url):
    """A worker that was suspended, and wakes up when another has taken its trial."""
    dead = SharedTrials(url, IDENTITY, SPACE)
    (trial,) = dead._take(2, 1)
    dead._study._storage.record_heartbeat(trial._trial_id)
    tried = work(SharedTrials(url, IDENTITY, SPACE), 2)
    dead.tell(trial.number, 1e9)
    assert len(tried) == 2 and trial.params in tried
    assert max(score for _, _, score in dead.told()) <= 1


def test_another_search_of_that_name_is_refused_and_a_database_that_is_none_is_told(url, tmp_path):
    trials = SharedTrials(url, IDENTITY, SPACE)
    trials._study.set_user_attr(shared.IDENTITY, {"study": "another"})
    with pytest.raises(UsageError, match="holds another search of that name"):
        SharedTrials(url, IDENTITY, SPACE)
    with pytest.raises(UsageError, match="cannot be opened as a database"):
        SharedTrials(f"sqlite:///{tmp_path}", IDENTITY, SPACE)


@pytest.mark.parametrize(
    "url, shown",
    [
        ("mysql://me:hunter2@db.org:1/x?ssl=hunter2", "mysql://db.org:1/x"),
        ("mysql:me:hun@ter2@db.org/x", "mysql:db.org/x"),
        ("mysql://db.org/x?password=a@hunter2", "mysql:..."),
        ("mysql://me:a?hunter2@db.org/x", "mysql:..."),
        ("hunter2@db.org", "..."),
        ("sqlite:////nowhere/a@b/trials.db", "sqlite:////nowhere/a@b/trials.db"),
    ],
)
def test_a_message_tells_of_a_database_without_the_password(url, shown):
    with pytest.raises(UsageError) as caught:
        SharedTrials(url, IDENTITY, SPACE)
    assert str(caught.value).startswith(f"{shown} cannot be opened") and "hunter2" not in str(caught.value)


def test_without_its_driver_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shared, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'snnl-workbench\[postgres\]'"):
        SharedTrials("postgresql://somewhere/trials", IDENTITY, SPACE)


@pytest.mark.parametrize("said", ["table trials already exists", "database is locked"])
def test_a_database_that_another_worker_lays_out_at_the_same_time_is_tried_again(url, monkeypatch, said):
    """SQLite has a kind of error for that which has also other reasons, and those are told at once."""
    left, real = [said], SharedTrials._open

    def busy(trials, url):
        if left:
            raise OperationalError("CREATE TABLE trials", {}, Exception(left.pop()))
        return real(trials, url)

    monkeypatch.setattr(SharedTrials, "_open", busy)
    assert len(work(SharedTrials(url, IDENTITY, SPACE), 1)) == 1
    left += ["not reached", "no such host"]
    with pytest.raises(UsageError, match="no such host"):
        SharedTrials(url, IDENTITY, SPACE)


@pytest.mark.usefixtures("importable", "in_this_process")
def test_a_database_that_fails_at_work_is_told_in_one_line_and_none_named_is_refused(url, tmp_path):
    where = {"runs": tmp_path / "runs", "storage": url}
    spoilt = "trials.db fails as a database: .*is not a database.* The same command goes on once it is mended"
    with pytest.raises(WorkbenchError, match=spoilt):
        run(trials=3, say=lambda _: (tmp_path / "trials.db").write_text("no database" * 1000), **where)
    with pytest.raises(UsageError, match="cannot be opened as a database"):
        run(trials=3, runs=tmp_path / "others", storage="")
    assert not (tmp_path / "others").exists()


@pytest.fixture
def postgres(tmp_path_factory):
    """The URL of a PostgreSQL of its own, which listens on a socket in a folder; it runs as no root, as it wants."""
    if MISSING:
        pytest.skip(f"there is no PostgreSQL here ({', '.join(MISSING)}): .ci/run installs it")
    home = tmp_path_factory.mktemp("postgres")
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
        for above in [home, *home.parents][:4]:
            above.chmod(above.stat().st_mode | 0o011)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    programs = {name: shutil.which(name, path=os.pathsep.join(PLACES)) for name in ("initdb", "postgres")}
    folder = home / "data"
    made = [*as_user, programs["initdb"], "--no-sync", "--auth=trust", "--username=postgres", "-D", str(folder)]
    subprocess.run(made, check=True, capture_output=True, cwd=home)
    settings = {"listen_addresses": "", "unix_socket_directories": str(home), "fsync": "off"}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([*as_user, programs["postgres"], "-D", str(folder), *words], stderr=log, cwd=home)
    try:
        wait_for(lambda: (home / ".s.PGSQL.5432").exists() or server.poll() is not None)
        assert server.poll() is None, (home / "log").read_text()
        yield f"postgresql://postgres@/postgres?host={home}"
    finally:
        server.send_signal(signal.SIGINT)  # it does not wait for whoever is connected
        server.wait(30)


def test_workers_that_share_a_postgresql_try_each_once(postgres):
    """Four of them, who begin at once, in a database that is empty."""
    tried = []
    threads = [
        threading.Thread(target=lambda: tried.append(work(SharedTrials(postgres, IDENTITY, SPACE), 8)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    told = SharedTrials(postgres, IDENTITY, SPACE).told()
    assert len(told) == 8 and len({number for number, _, _ in told}) == 8
    flat = Counter(params["x"] for mine in tried for params in mine)
    assert len(tried) == 4, "none failed"
    assert flat == Counter(params["x"] for _, params, _ in told), "each once; two of them may be at the same end of x"
