"""Optuna's journal of a search: what is searched, the trials that were proposed, and their scores."""

import json
import random
import warnings
from collections.abc import Generator
from contextlib import suppress
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cells.layout import JOURNAL, JOURNAL_LOCK
from lab.errors import UsageError, WorkbenchError
from lab.files import from_json
from lab.hashing import content_hash

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

IDENTITY = "search"
"""The attribute of Optuna's study that says what is searched."""
ANOTHER = "{} holds another search ({}): name another folder, or none."

Told = list[tuple[int, dict[str, Any], float]]
"""The trials that have a score: number, what was tried, and that."""


class Journal:
    """The journal in a folder. Numbers of trials count those that were proposed whole, from 0."""

    def __init__(self, folder: Path, identity: dict[str, Any], space: "dict[str, BaseDistribution]") -> None:
        """Open the journal, or begin one; only for who holds the folder's lock.

        Raises:
            UsageError: it is that of another search.
            WorkbenchError: it is damaged.
        """
        self._identity, self._space = json.loads(json.dumps(identity)), space
        self._path = folder / JOURNAL
        _mend(self._path)
        try:
            self._study = self._open()
            self._check()
        except Exception as error:  # damaged journals raise errors of every kind
            raise WorkbenchError(
                f"{self._path} is damaged: remove it and search again; finished cells are kept."
            ) from error
        self._begin(folder)

    def rounds(self, trials: int, together: int) -> Generator[dict[int, dict[str, Any]], None, None]:
        """What to try next, by number, until `trials` are told: first what was proposed and not told yet.

        A round is whole before it is tried, so that what is proposed depends on nothing else than the rounds before.
        """
        while len(self.told()) < trials:
            while len(self._whole()) % together or not self._open_trials():
                if len(self._whole()) >= trials:
                    break
                self._propose()
            yield dict(self._open_trials())

    def told(self) -> Told:
        """Number, what was tried, and its score."""
        whole = enumerate(self._whole())
        return [(number, trial.params, float(trial.value)) for number, trial in whole if trial.value is not None]

    def whole(self) -> list[dict[str, Any]]:
        """What was tried, or is to be."""
        return [trial.params for trial in self._whole()]

    def tell(self, number: int, score: float) -> None:
        """Keep the score of a trial."""
        self._study.tell(self._whole()[number].number, score)

    def _propose(self) -> None:
        """Ask for one more trial. The sampler is made anew: it keeps nothing that the journal does not."""
        seed = int(content_hash([self._identity, len(self._whole())])[:8], 16)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some versions call the sampler experimental
            left = untried(self._space, [trial.params for trial in self._whole()])
            self._study.sampler = sampler(seed, 2 * len(self._space) + 1, left)
            self._study.ask(self._space)

    def _open_trials(self) -> list[tuple[int, dict[str, Any]]]:
        return [(number, trial.params) for number, trial in enumerate(self._whole()) if trial.value is None]

    def _whole(self) -> "list[FrozenTrial]":
        """The trials but those that a kill left half proposed."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if set(trial.params) == set(self._space)]

    def _open(self) -> "Study":
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = JournalStorage(JournalFileBackend(str(self._path)))
        names = optuna.get_all_study_names(storage)
        if names:
            return optuna.load_study(study_name=names[0], storage=storage)
        return optuna.create_study(study_name=self._identity["study"], storage=storage, direction="maximize")

    def _check(self) -> None:
        """Raise an error of some kind unless every trial is told, with one score, or waits for that."""
        from optuna.trial import TrialState

        if len(self._study.directions) != 1:
            raise ValueError(f"it has {len(self._study.directions)} scores a trial")
        for trial in self._whole():
            if (trial.state, trial.value is None) not in {(TrialState.COMPLETE, False), (TrialState.RUNNING, True)}:
                raise ValueError(f"trial {trial.number} is {trial.state}")
        self.told()

    def _begin(self, folder: Path) -> None:
        from optuna.trial import TrialState

        known = self._study.user_attrs.get(IDENTITY)
        if known is None and self._study.study_name == self._identity["study"] and not self._study.get_trials():
            self._study.set_user_attr(IDENTITY, self._identity)
        elif known != self._identity:
            what = difference(known, self._identity) if known else f"study {self._study.study_name!r}"
            raise UsageError(ANOTHER.format(folder, what))
        for trial in self._study.get_trials(states=[TrialState.RUNNING]):
            if set(trial.params) != set(self._space):  # half proposed
                self._study.tell(trial.number, state=TrialState.FAIL)


def untried(space: "dict[str, BaseDistribution]", tried: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What no trial has tried, where there are choices alone; nothing once all was tried, or beside a range."""
    words = [getattr(distribution, "choices", ()) for distribution in space.values()]
    grid = [dict(zip(space, values, strict=True)) for values in product(*words)]
    return [values for values in grid if values not in tried]


def sampler(seed: int, random_trials: int, untried: list[dict[str, Any]]) -> "BaseSampler":
    """A Gaussian process, after some random trials, which proposes of a grid nothing but what is untried, if any is."""
    from optuna.samplers import GPSampler

    draw = random.Random(seed)

    class Sampler(GPSampler):
        def sample_relative(self, study: Any, trial: "FrozenTrial", space: Any) -> dict[str, Any]:
            """All settings together; none where that was tried, which leaves them to the one below."""
            found: dict[str, Any] = super().sample_relative(study, trial, space)
            return found if found in untried or not untried else {}

        def sample_independent(self, study: Any, trial: "FrozenTrial", name: str, distribution: Any) -> Any:
            """One setting, given those that the trial has already."""
            found = super().sample_independent(study, trial, name, distribution)
            left = [values[name] for values in untried if trial.params.items() <= values.items()]
            return found if found in left or not left else draw.choice(left)

    return Sampler(seed=seed, n_startup_trials=random_trials)


def check_optuna() -> None:
    """Raise UsageError unless Optuna is installed."""
    if find_spec("optuna") is None:
        raise UsageError("Searching settings needs Optuna: pip install 'snnl-workbench[tune]'.")


def _mend(path: Path) -> None:
    """Remove what a killed process left: a last line that is not whole, and the lock of the file."""
    path.with_name(JOURNAL_LOCK).unlink(missing_ok=True)
    if path.exists():
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            with path.open("rb+") as file:
                file.truncate(data.rfind(b"\n") + 1)


def identity_in(folder: Path) -> dict[str, Any] | None:
    """What is searched by the journal in a folder, which nothing is written to; None where it does not tell."""
    journal = folder / JOURNAL
    for line in journal.read_bytes().splitlines() if journal.is_file() else []:
        with suppress(ValueError):  # a line that is damaged, or not whole
            attributes = from_json(line).get("user_attr")
            known = attributes.get(IDENTITY) if isinstance(attributes, dict) else None
            if isinstance(known, dict):
                return known
    return None


def difference(there: Any, here: dict[str, Any]) -> str:
    """The first entry in which two searches differ, in words; what a stranger's says may be anything."""
    known = there if isinstance(there, dict) else {}
    for name in ("study", "settings", "space"):
        one, other = known.get(name), here[name]
        if isinstance(one, dict) and isinstance(other, dict):
            name = next((key for key in sorted({*one, *other}) if one.get(key) != other.get(key)), name)
            one, other = one.get(name), other.get(name)
        if one != other:
            return f"{name}: {one!r} there, {other!r} here"
    return "made by another version of the code"
