"""The run directory: what a training run leaves behind, and how it is taken up again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np

from detkit import io
from detkit.errors import CheckpointError, ConfigError
from detkit.pipeline import pipeline as pipelines


class RunDirectory:
    """The files of a run.

    pipeline.yaml (every option), training/state.npz (to resume from), history.csv, log.txt, tensorboard/, plots/, and
    at the end the model itself (pipeline.config, label_map.pbtxt, checkpoint/) with metrics.json.
    """

    def __init__(self, path):
        self.path = Path(path)

    def state_file(self, phase: str = "") -> Path:
        """Where the training state is; each phase of a run that has several has its own."""
        return self.path / "training" / (f"state_{phase}.npz" if phase else "state.npz")

    def begin(self, pipeline, *, resume: bool, overwrite: bool) -> bool:
        """Makes the directory and writes the pipeline, or checks that a resumed run is the same one; whether it is.

        Raises:
            ConfigError: if there is a run already and neither `resume` nor `overwrite` is asked for, if a resumed run
                was of another pipeline, or if the directory can't be written.
        """
        recorded = self.path / "pipeline.yaml"
        text = pipelines.to_yaml(pipeline)
        if recorded.is_file() and resume:
            self._same(text, recorded)
            return True
        if recorded.is_file() and not overwrite:
            raise ConfigError(
                "There is a run in this directory already.",
                where=self.path,
                fix="Go on with it (--resume), replace it (--overwrite), or choose another (--output DIR).",
            )
        io.make_directory(self.path / "training")
        if recorded.is_file() or any((self.path / "training").iterdir()):
            self._clear()
        with io.atomic_write(recorded) as file:
            file.write(text)
        return False

    def _same(self, text: str, recorded: Path) -> None:
        # Paths may have moved; what decides the weights may not.
        ours, theirs = (_settings(t, recorded) for t in (text, recorded.read_text()))
        different = [name for name in ours if ours[name] != theirs.get(name)]
        if different:
            raise ConfigError(
                "The run to resume was made with other settings.",
                where=recorded,
                got=", ".join(f"{name}={ours[name]}" for name in different),
                expected=", ".join(f"{name}={theirs.get(name)}" for name in different),
                fix="Resume with the same settings, or choose another directory with --output.",
            )

    def _clear(self) -> None:
        for name in ("training", "tensorboard", "plots", "checkpoint", "checkpoint_last"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("history.csv", "log.txt", "metrics.json"):
            (self.path / name).unlink(missing_ok=True)
        io.make_directory(self.path / "training")

    def save_state(self, arrays: dict, facts: dict, history: list[dict], phase: str = "") -> None:
        """Writes all that a resumed run needs; an older state stays whole until the new one is."""
        path = self.state_file(phase)
        table = {f"history/{name}": np.array([row.get(name, np.nan) for row in history], np.float64)
                 for name in _columns(history)}  # fmt: skip
        try:
            with io.atomic_write(path, "wb") as file:
                np.savez(file, **arrays, **table, facts=np.array(json.dumps(facts)))
        except ConfigError as error:
            raise CheckpointError(
                "The training state can't be written; the last one is untouched.",
                where=path,
                got=error.got,
                fix=f"{error.fix} Then go on with --resume.",
            ) from None
        self.write_history(history)

    def load_state(self, phase: str = "") -> tuple[dict, dict, list[dict]] | None:
        """(arrays, facts, history), or None if nothing was saved yet."""
        path = self.state_file(phase)
        if not path.is_file():
            return None
        try:
            arrays = io.read_arrays(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                "The training state can't be read.",
                where=path,
                got=error,
                fix="Start again with --overwrite.",
            ) from None
        facts = json.loads(str(arrays.pop("facts")))
        columns = {name[8:]: arrays.pop(name) for name in list(arrays) if name.startswith("history/")}
        rows = [dict(zip(columns, map(float, values), strict=True)) for values in zip(*columns.values(), strict=True)]
        history = [{name: value for name, value in row.items() if not np.isnan(value)} for row in rows]
        return arrays, facts, history

    def write_history(self, history: list[dict]) -> None:
        """history.csv: a row a step."""
        with io.atomic_write(self.path / "history.csv") as file:
            table = csv.DictWriter(file, _columns(history))
            table.writeheader()
            table.writerows({**row, "step": int(row["step"])} for row in history)

    def log(self, text: str) -> None:
        """Adds lines to log.txt."""
        with open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(text.rstrip() + "\n")


def _columns(history: list[dict]) -> list[str]:
    return list(dict.fromkeys(name for row in history for name in row))


def _settings(text: str, path: Path) -> dict:
    """{dotted name: value} of the options in a pipeline's text that decide the weights."""
    options = pipelines.to_mapping(pipelines.parse(text, path))
    places = {"name", "checkpoint", "weights"} & set(options["model"])
    options["model"] |= {name: Path(options["model"][name] or "").name for name in places}
    for name in ("checkpoint_every", "cache_mb"):
        del options["train"][name]
    return {f"{section}.{name}": value for section in ("model", "train") for name, value in options[section].items()}
