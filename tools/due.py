"""What of a pipeline of DVC's must run: asked once, and answered also where only tables are.

Models and arrays lie in the cache of the machine that made them; git has ``dvc.lock`` and the
tables. What is merely absent is therefore no reason to run anything, as for ``dvc repro
--allow-missing``: an item is due when its command, params, code or inputs are not those that
``dvc.lock`` records, or when something that it made was changed, or a table is gone. What a due
item reads and is not there comes from DVC's cache, or is made again.
"""

import difflib
import os
import time
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

from study.params import read_yaml
from vaefill.errors import InputError

T = TypeVar("T")
#: Per item those that must have ended before it.
Graph = dict[str, set[str]]


def stage_of(item: str) -> str:
    """Name the stage of an item of its matrix."""
    return item.partition("@")[0]


class Pipeline:
    """A pipeline and the state in which its files are; as `ask` gives it.

    Attributes
    ----------
    before : dict of str to set of str
        Per item those whose outputs it reads; items in the order of ``dvc.yaml``.
    """

    def __init__(self, repo: Any, path: Path) -> None:
        graph = repo.index.graph
        self._stages = {
            stage.addressing: stage
            for stage in repo.index.stages
            if stage.relpath == os.path.relpath(path)
        }
        self.before: Graph = {
            item: {need.addressing for need in graph[stage]} & self._stages.keys()
            for item, stage in self._stages.items()
        }
        self._params: dict[str, dict[str, Any]] = {}

    def reads(self, path: Path) -> set[str]:
        """Name the items of which a file is a dep."""
        place = os.path.abspath(path)
        return {
            item
            for item, stage in self._stages.items()
            if any(dep.fs_path == place for dep in stage.deps)
        }

    def due(self, targets: Collection[str] = ()) -> Graph:
        """Say what must run, and after what.

        An item that has changed is due, and so is what depends on it; and the maker of each file
        that one of these reads, which is neither there nor in DVC's cache. Files that are in the
        cache come back from it on the way.

        Parameters
        ----------
        targets : collection of str
            Stages or items, ``*`` in them for any text: only these and what they need; none for
            all.

        Raises
        ------
        InputError
            When a target is neither.
        """
        wanted = self._needed(self._named(targets)) if targets else self.before.keys()
        due: set[str] = set()
        for item in TopologicalSorter(self.before).static_order():
            if item in wanted and (due & self.before[item] or self._changed(item)):
                due.add(item)
        todo = list(due)
        while todo:
            makers = {out.stage.addressing for out in self._read(todo.pop()) if not _there(out)}
            todo += makers - due
            due |= makers
        return {item: self.before[item] & due for item in self.before if item in due}

    def _named(self, targets: Collection[str]) -> set[str]:
        named = set()
        for target in targets:
            found = {
                item
                for item in self.before
                if any(fnmatchcase(name, target) for name in (item, stage_of(item)))
            }
            if not found:
                known = [*dict.fromkeys(map(stage_of, self.before)), *self.before]
                near = difflib.get_close_matches(target, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "`dvc stage list` names all"
                raise InputError(f"--target {target!r}: neither a stage nor an item; {hint}")
            named |= found
        return named

    def _needed(self, items: set[str]) -> set[str]:
        needed, todo = set(items), list(items)
        while todo:
            more = self.before[todo.pop()] - needed
            needed |= more
            todo += more
        return needed

    def _read(self, item: str, at: str = "") -> list[Any]:
        """List the outputs of other items that an item reads, or those of one of its deps."""
        deps = [at] if at else [dep.fs_path for dep in self._stages[item].deps]
        made = [out for maker in self.before[item] for out in self._stages[maker].outs]
        return [out for out in made if any(_overlap(out.fs_path, dep) for dep in deps)]

    def _changed(self, item: str) -> bool:
        stage = self._stages[item]
        return bool(
            stage.changed_stage()
            or stage.is_callback
            or stage.always_changed
            or any(self._dep_changed(item, dep) for dep in stage.deps)
            or any(map(_out_changed, stage.outs))
        )

    def _dep_changed(self, item: str, dep: Any) -> bool:
        if names := getattr(dep, "params", ()):
            # As DVC does, which reads the file anew for every item.
            if dep.fs_path not in self._params:
                self._params[dep.fs_path] = read_yaml(dep.fs_path)
            values, recorded = self._params[dep.fs_path], dep.hash_info.value or {}
            return any(recorded.get(n, _value) != _value(values, n) for n in names)
        made = self._read(item, dep.fs_path)
        if all(out.exists for out in made):
            return bool(dep.workspace_status())
        return bool(dep.hash_info != _recorded(dep, made))


def _value(values: Any, name: str) -> Any:
    """Look up a param such as ``train.slides``; None where there is none."""
    for key in name.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _recorded(dep: Any, made: Sequence[Any]) -> Any:
    """Compute the hash of a dep from what ``dvc.lock`` has of the outputs that it consists of.

    None where it cannot be told: of a folder with folders the lock lists no files.
    """
    from dvc_data.hashfile.tree import Tree

    if [out.fs_path for out in made] == [dep.fs_path]:
        return made[0].hash_info
    tree = Tree()  # type: ignore[no-untyped-call]
    for out in made:
        if not out.hash_info or out.hash_info.isdir or not _within(out.fs_path, dep.fs_path):
            return None
        key = tuple(os.path.relpath(out.fs_path, dep.fs_path).split(os.sep))
        tree.add(key, None, out.hash_info)
    tree.digest()
    return tree.hash_info


def _out_changed(out: Any) -> bool:
    if not out.hash_info:
        return True
    # Of a table git has the content, of all else the lock its hash, which is enough.
    return bool(out.workspace_status()) if out.exists else not out.use_cache


def _there(out: Any) -> bool:
    """Whether an output is in its place, once DVC's cache has been asked for it."""
    if not out.exists and not out.changed_cache():
        out.checkout()
    return bool(out.exists)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _overlap(path: str, other: str) -> bool:
    return _within(path, other) or _within(other, path)


def ask(path: Path, question: Callable[[Pipeline], T]) -> T:
    """Read a pipeline, and ask it something while nobody writes what it makes.

    Raises
    ------
    InputError
        When DVC cannot read it.
    """
    # Here, as the workers import what runs them too.
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.rwlock import rwlock

    for patience in reversed(range(10)):
        try:
            with Repo(_wait_for_lock=True) as repo, repo.lock:
                outs = [out.fs_path for stage in repo.index.stages for out in stage.outs]
                with rwlock(repo.tmp_dir, repo.fs, __name__, outs, [], hardlink=False):
                    return question(Pipeline(repo, path))
        except DvcException as error:
            # What a run that was killed has left behind ends in a moment.
            if not (isinstance(error, LockError) and patience):
                raise InputError(f"DVC: {error}") from error
            time.sleep(1)
    raise AssertionError("the last try returns or raises")
