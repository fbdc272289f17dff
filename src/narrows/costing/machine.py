"""The profile of a machine: read, checked, kept in the user's cache."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from narrows.costing.calibration import FORMAT, VERSION
from narrows.costing.layouts import Call, Layout, normalised
from narrows.errors import InputError

__all__ = ["Measured", "Profile", "cached_profile", "default_path", "read_profile"]


@dataclass(frozen=True)
class Measured:
    """One operator that was timed: the call, its seconds, the spread of its samples relative to them."""

    call: Call
    seconds: float
    spread: float


@dataclass(frozen=True)
class Profile:
    """What a machine can do, as `narrows calibrate` measured it. Frozen, plain data.

    Attributes:
        machine: processor, cores, system, PyTorch's version and instruction set, date.
        threads: that computed.
        operator_seconds, view_seconds, between_seconds: a call on next to nothing, a view, and what goes on between one
            operator and the next in a network (modules, and code that is not at hand).
        bandwidth: (bytes touched again and again, bytes per second copied): the cache levels.
        fresh_seconds_per_byte: what the first write to a page costs; None where the allocator is not glibc's.
        cold_seconds_per_byte: what weights cost beyond those at hand, when the caches were used for others meanwhile.
        points: every operator that was timed.
        load: what was discarded because something else was running.
        seconds: that the calibration took.
    """

    machine: Mapping[str, Any]
    threads: int
    operator_seconds: float
    view_seconds: float
    between_seconds: float
    bandwidth: tuple[tuple[float, float], ...]
    fresh_seconds_per_byte: float | None
    cold_seconds_per_byte: float | None
    points: tuple[Measured, ...] = field(repr=False)
    load: Mapping[str, Any]
    seconds: float

    def ridge(self) -> dict[str, float] | None:
        """The machine's rates for a roofline; None where the profile lacks one of them.

        ``macs_per_second`` that nine tenths of the measured convolutions stay below, ``bytes_per_second`` copied out of
        the largest working set.
        """
        from narrows.costing.kinds import describe

        rates = [
            float(described.work[0]) / point.seconds
            for point in self.points
            if (described := describe(point.call, self.threads)) is not None and described.kind.startswith("conv")
        ]
        if not rates or not self.bandwidth:
            return None
        return {"macs_per_second": float(np.quantile(rates, 0.9)), "bytes_per_second": self.bandwidth[-1][1]}

    @classmethod
    def from_json(cls, text: str, name: str = "the profile") -> Profile:
        """A profile from what a calibration wrote.

        Raises:
            InputError: it is no profile, or one of another version; the message is one line.
        """
        try:
            held = json.loads(text)
        except ValueError as error:
            raise InputError(f"{name} is not a machine profile: it is no JSON") from error
        if not isinstance(held, dict) or held.get("format") != FORMAT:
            raise InputError(f"{name} is not a machine profile; make one with narrows calibrate --export FILE.json")
        if held.get("version") != VERSION:
            raise InputError(
                f"{name} is a machine profile of version {held.get('version')}, and this narrows reads version "
                f"{VERSION}; measure that machine again with narrows calibrate"
            )
        try:
            return cls(
                machine=held["machine"],
                threads=int(held["threads"]),
                operator_seconds=float(held["overheads"]["operator"]),
                view_seconds=float(held["overheads"]["view"]),
                between_seconds=float(held["overheads"]["between"]),
                bandwidth=tuple((float(b["bytes"]), float(b["bytes_per_second"])) for b in held["bandwidth"]),
                fresh_seconds_per_byte=held["fresh_seconds_per_byte"],
                cold_seconds_per_byte=held["cold_seconds_per_byte"],
                points=tuple(_measured(point) for point in held["points"]),
                load=held["load"],
                seconds=float(held["seconds"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(f"{name} is a damaged machine profile ({error!r}); measure again") from error


def _measured(point: Mapping[str, Any]) -> Measured:
    call = Call(
        point["target"],
        normalised(point["target"], [_value(each) for each in point["args"]]),
        tuple(_value(each) for each in point["output"]),
    )
    seconds = float(point["seconds"])
    if not seconds > 0:
        raise ValueError(f"{seconds} seconds")
    return Measured(call, seconds, float(point["spread"]))


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        shape = tuple(int(size) for size in value["shape"])
        stride, step = [], 1
        for size in reversed(shape):
            stride.append(step)
            step *= size
        return Layout(shape, tuple(value["stride"]) if "stride" in value else tuple(reversed(stride)))
    if isinstance(value, list):
        return [_value(each) for each in value]
    return value


def read_profile(path: str | os.PathLike[str]) -> Profile:
    """The profile in the file `path`.

    Raises:
        InputError: there is no such file, it is no profile, or one of another version.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"there is no machine profile {path}; make one with narrows calibrate") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"the machine profile {path} can't be read: {reason}") from error
    return Profile.from_json(text, str(path))


def default_path(threads: int) -> Path:
    """Where this machine's profile for so many threads is kept: in the user's cache, apart for each machine's name."""
    import platform

    import platformdirs

    name = "".join(c if c.isalnum() else "-" for c in platform.node()) or "machine"
    return Path(platformdirs.user_cache_dir("narrows")) / "machines" / f"{name}-{threads}.json"


def cached_profile(threads: int | None = None) -> Profile:
    """This machine's profile from the user's cache, for PyTorch's number of threads if none is given.

    Raises:
        InputError: this machine has not been measured yet, or by a narrows of another version.
    """
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    path = default_path(threads)
    if not path.exists():
        raise InputError(
            f"this machine has no profile for {threads} thread{'s' * (threads > 1)} yet; run narrows calibrate first"
        )
    return read_profile(path)
