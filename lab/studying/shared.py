"""A search whose trials lie in a database, from which workers on several machines take them.

Each worker takes trials, does their cells and tells the scores. While it works, a heart beats in the database for each;
where that stops, another worker tries the same settings again. What is proposed depends on which worker was faster.
"""

import json
import re
import secrets
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError, WorkbenchError, first_line
from lab.hashing import content_hash
from lab.studying.journal import IDENTITY, Told, difference, sampler, untried

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

BEAT, GRACE = 15, 60
"""Seconds between two beats of a heart, and after how many without one its worker is taken for dead."""
TRIES = 10
"""How often a database is opened that others lay out at the same time."""
HARMLESS = re.compile(r"([\w+.-]+:/*)(?:[^?]*@)?([^?@]*)(?:\?[^@]*)?")
"""A database's URL: its scheme, and its host and name. Where an `@` comes after a `?`, it may be of either part in
which a password can be, before these or after them, and nobody knows where that ends."""
MEANWHILE = re.compile("already exists|is locked")
"""What SQLite says where another worker lays the database out, in an error of the kind that has other reasons, too."""
DATABASE = {"optuna", "sqlalchemy"}
"""Whose errors tell of a database."""
PAUSE = 5.0
"""Seconds between two looks whether others have ended the trials that they are at work on."""


class SharedTrials:
    """The trials of a search in a database. Numbers are the database's."""

    def __init__(self, url: str, identity: dict[str, Any], space: "dict[str, BaseDistribution]") -> None:
        """Open the search, or begin it.

        Args:
            url: of the database, as `postgresql://USER@HOST/NAME`.
            identity: what is searched.
            space: the distributions of what is searched.

        Raises:
            UsageError: there is no such database, or what talks to it is not installed.
        """
        self._identity, self._space = json.loads(json.dumps(identity)), space
        with _telling(url), _quietly():
            known = self._begin(url)
        if known not in (None, self._identity):
            raise UsageError(f"{_shown(url)} holds another search of that name ({difference(known, self._identity)}).")

    def rounds(self, trials: int, together: int) -> Generator[dict[int, dict[str, Any]], None, None]:
        """What this worker is to try next, by number, until so many are told by all; that which it does not tell, or
        is broken off at, is left to whoever comes next."""
        while len(self.told()) < trials:
            if not (taken := self._take(trials, together)):
                time.sleep(PAUSE)
                with _quietly():
                    _optuna().storages.fail_stale_trials(self._study)
                continue
            with ExitStack() as beating:
                for trial in taken:
                    beating.enter_context(_heart(self._study, trial))
                try:
                    yield {trial.number: trial.params for trial in taken}
                finally:
                    self._leave({trial.number for trial in taken})

    def told(self) -> Told:
        """Number, what was tried, and its score."""
        done = self._trials("COMPLETE")
        return [(trial.number, trial.params, float(trial.value)) for trial in done if trial.value is not None]

    def whole(self) -> list[dict[str, Any]]:
        """What was tried, or some worker is at work on; not what one is just being told to try."""
        return [trial.params for trial in self._trials("COMPLETE", "RUNNING") if set(trial.params) == set(self._space)]

    def tell(self, number: int, score: float) -> None:
        """Keep the score of a trial, unless another worker has taken this one for dead."""
        if number in {trial.number for trial in self._trials("RUNNING")}:
            self._study.tell(number, score)

    def _take(self, trials: int, together: int) -> "list[Trial]":
        """Trials that others have left, or new ones, unless all are told or at work."""
        taken: list[Trial] = []
        for _ in range(together):
            alive = self._trials("COMPLETE", "RUNNING", "WAITING")
            if len(alive) >= trials and not self._trials("WAITING"):
                break
            left = untried(self._space, [trial.params for trial in alive])
            self._study.sampler = sampler(secrets.randbits(31), 2 * len(self._space) + 1, left)
            with _quietly():
                trial = self._study.ask(self._space)
            if sum(one.number < trial.number for one in self._trials("COMPLETE", "RUNNING")) >= trials:
                self._study.tell(trial.number, state=_optuna().trial.TrialState.PRUNED)  # another was faster
                break
            taken.append(trial)
        return taken

    def _leave(self, numbers: set[int]) -> None:
        """Leave those of some trials that were not told to whoever comes next."""
        optuna = _optuna()
        with _quietly():
            for trial in [one for one in self._trials("RUNNING") if one.number in numbers]:
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                optuna.storages.RetryHeartbeatStaleTrialCallback()(self._study, trial)

    def _trials(self, *states: str) -> "list[FrozenTrial]":
        kinds = [_optuna().trial.TrialState[state] for state in states]
        return self._study.get_trials(deepcopy=False, states=kinds)

    def _begin(self, url: str) -> Any:
        """What is searched there by now; again, where another worker has laid the database out at the same time."""
        from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

        for left in reversed(range(TRIES)):
            try:
                self._study = self._open(url)
                known = self._study.user_attrs.get(IDENTITY)
                if known is None:
                    self._study.set_user_attr(IDENTITY, self._identity)
                return known
            except (IntegrityError, OperationalError, ProgrammingError) as error:
                final = isinstance(error, OperationalError) and not MEANWHILE.search(str(error))
                if final or not left:
                    raise
                time.sleep(PAUSE / TRIES)

    def _open(self, url: str) -> "Study":
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        storage = optuna.storages.RDBStorage(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            engine_kwargs={"pool_pre_ping": True},  # a server that began again is asked anew
            heartbeat_interval=BEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
        )
        name = f"{self._identity['study']}-{content_hash(self._identity)[:8]}"
        study: Study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
        return study


def _optuna() -> Any:
    import optuna

    return optuna


def _heart(study: "Study", trial: "Trial") -> Any:
    """What beats in the database for a trial, as long as it is held."""
    from optuna.storages._heartbeat import get_heartbeat_thread

    return get_heartbeat_thread(trial._trial_id, study._storage)


@contextmanager
def answering(url: str | None) -> Iterator[None]:
    """Say in one line that a database, if one is named, fails in the block.

    Raises:
        WorkbenchError: it does not answer, or is not as Optuna lays one out.
    """
    try:
        yield
    except Exception as error:
        if url is None or type(error).__module__.partition(".")[0] not in DATABASE:
            raise
        why = first_line(error.__cause__ or error).removesuffix(".")
        raise WorkbenchError(
            f"{_shown(url)} fails as a database: {why}. The same command goes on once it is mended."
        ) from error


def _shown(url: str) -> str:
    """The URL of a database as messages, which are kept in logs, tell it: without user, password and options."""
    if url.startswith("sqlite"):
        return url
    known = HARMLESS.fullmatch(url)
    return "".join(known.groups()) if known else f"{url[: url.find(':') + 1]}..."


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions call parts of it experimental
        yield


@contextmanager
def _telling(url: str) -> Iterator[None]:
    """What is wrong with a database, in one line.

    Raises:
        UsageError: its driver is not installed, or it cannot be opened.
    """
    if url.startswith("postgresql:") and find_spec("psycopg") is None:
        raise UsageError("Searching in PostgreSQL needs psycopg: pip install 'snnl-workbench[postgres]'.")
    try:
        yield
    except Exception as error:  # drivers raise errors of every kind
        raise UsageError(f"{_shown(url)} cannot be opened as a database: {first_line(error)}") from error
