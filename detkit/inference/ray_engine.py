"""A run's detections found by workers of Ray, on this machine or on a cluster.

The workers read the sources themselves, so that each of them must find the files under the same path. What they find
comes back as records, which complete the run's journal; from there the run goes on as a resumed one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec

from detkit.errors import ConfigError, DetkitError, MediaError
from detkit.inference.journal import Detect, Journal
from detkit.inference.options import Running
from detkit.inference.shards import Merger, Shard, find, plan
from detkit.inference.sources import Source
from detkit.progress import progress


@dataclass(frozen=True)
class Job:
    """What a worker needs to know.

    Attributes:
        load: gives the detector; called once in each worker.
        make: detector -> its predictor, and the function frames -> results.
        batch_size: of the model.
        directory: the working directory, for relative paths.
    """

    load: Callable
    make: Callable[[object], tuple[object, Detect]]
    batch_size: int
    directory: str


def complete(journal: Journal, sources: Sequence[Source], job: Job, running: Running) -> None:
    """Finds what a journal doesn't know yet.

    A worker that dies is replaced, and its shard is done again.

    Args:
        journal: of the run.
        sources: of the run.
        job: what to do.
        running: where, and with how many workers.

    Raises:
        ConfigError: if Ray is not installed or can't be reached, or the job fails in a worker.
    """
    merger = Merger(journal, plan(sources, job.batch_size, Fraction(running.shard)))
    missing = merger.missing
    with progress(total=len(missing), description="shards", show=running.show_progress) as bar:
        for shard, found in work(missing, job, running) if missing else ():
            merger.add(shard, found)
            bar.update()


def require_ray() -> None:
    """ConfigError unless Ray is installed."""
    if find_spec("ray") is None:
        raise ConfigError("Ray is not installed.", where="--engine ray", fix="pip install 'detkit[ray]'")


@contextmanager
def _connected(running: Running) -> Iterator[None]:
    import ray

    # A process that has started Ray itself, with options of its own, keeps it.
    if ray.is_initialized():
        yield
        return
    if running.address:
        check_reachable(running.address)
    try:
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(address=running.address or "local", **({} if running.address else quiet))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _unreachable(running.address, str(error).splitlines()[0]) from error
    try:
        yield
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """ConfigError if nothing answers at HOST:PORT; Ray itself tries for minutes, and then ends the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto" and the like, which Ray finds out about at once
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str | None, got: str) -> ConfigError:
    return ConfigError(
        "Can't reach Ray.",
        where=f"--address {address}",
        got=got,
        fix="Start it with `ray start --head`, and give the address that it tells.",
    )


def work(shards: list[Shard], job: Job, running: Running) -> Iterator[tuple[Shard, bytes]]:
    """What workers find in each shard, as they get done with it."""
    import ray

    rows = [{"shard": number} for number in range(len(shards))]
    with _connected(running):
        ray.data.DataContext.get_current().enable_progress_bars = False
        most = running.workers or max(1, int(ray.cluster_resources().get("CPU", 1) // running.worker_cpus))
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Worker,
            fn_constructor_args=(job, shards),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, len(rows))),
            num_cpus=running.worker_cpus,
            num_gpus=running.worker_gpus,
        )
        for row in data.iter_rows():
            if row["error"]:
                raise ConfigError("A Ray worker can't do its part.", got=row["error"])
            yield shards[row["shard"]], row["found"]


class Worker:
    """A process of Ray that finds what is in shards.

    Args:
        job: what to do.
        shards: all shards, of which it is given numbers.
    """

    def __init__(self, job: Job, shards: Sequence[Shard]):
        os.chdir(job.directory)
        self._job, self._shards = job, shards
        _, self._detect = job.make(job.load())

    def __call__(self, batch: dict) -> dict:
        """{"shard": numbers} -> the same with "found", records as bytes, and "error", a text or nothing."""
        pairs = [self._one(self._shards[number]) for number in batch["shard"].tolist()]
        found, errors = zip(*pairs, strict=True)
        return {"shard": batch["shard"], "found": list(found), "error": list(errors)}

    def _one(self, shard: Shard) -> tuple[bytes, str]:
        try:
            for _, source in shard.sources:
                _require_files(source)
            return find(shard, self._detect, self._job.batch_size), ""
        except DetkitError as error:
            return b"", str(error)


def _require_files(source: Source) -> None:
    """MediaError unless the files of a source are there: Ray's other machines may not have them."""
    for file in getattr(source, "files", (source.path,)):
        if not file.is_file():
            raise MediaError(
                "A worker does not find this file.",
                where=file,
                fix="Put the sources on storage that all machines have under the same path.",
            )
