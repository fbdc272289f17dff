"""Check a network against every guideline, and try on this machine what they say."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from narrows.costing.machine import Profile, read_profile
from narrows.errors import InputError
from narrows.guidelines.catalogue import GUIDELINES
from narrows.guidelines.core.finding import CheckReport, Finding, Status, ordered, severity_of
from narrows.guidelines.core.foretelling import Foretelling, machine_name
from narrows.guidelines.core.guideline import Guideline, NotTriable, Suspicion, Undecidable
from narrows.guidelines.core.measuring import Measurer, ThisMachine
from narrows.guidelines.core.silencing import Silence, in_source, parse_silences
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.trying import Bench
from narrows.streaming.capturing import Model, Shapes, image_inputs, loaded
from narrows.streaming.memory import free_memory
from narrows.units import parse_bytes

__all__ = ["KEYS", "check"]

KEYS = tuple(guideline.key for guideline in GUIDELINES)
# Of one guideline, so many places are tried: those that touch most of the network.
_TRIED = 3
_OF_FREE_MEMORY = 0.6

Said = Callable[[str], None]


def check(
    model: Model,
    height: int,
    width: int,
    *,
    channels: int | None = None,
    batch: int = 1,
    inputs: Shapes | None = None,
    dtype: torch.dtype | None = None,
    experiments: bool = True,
    memory: int | str | None = None,
    seconds: float = 20.0,
    silence: Mapping[str, str] | Sequence[Silence] = (),
    only: Iterable[str] | None = None,
    machine: Profile | str | os.PathLike[str] | None = None,
    measurer: Measurer | None = None,
    progress: Said | None = None,
) -> CheckReport:
    """Which choices of a network cost more than they bring, tried here or predicted for another machine.

    Each guideline looks for places that go against it. What it finds is tried: a deep copy of the network with that
    one place changed runs against the network itself, interleaved and shuffled. Findings that bring nothing beyond the
    noise are withdrawn. The user's own module is never changed.

    Args:
        model: a module in eval mode. An `ExportedProgram` or a `.pt2` file is looked at, but has no modules to change,
            so that nothing is tried.
        height: rows of the image that the network is meant for.
        width: its columns.
        channels: of the image; read from the network if None.
        inputs: whole shapes (N, C, H, W) of every input, for networks with several.
        dtype: of the image; that of the network's weights if None.
        experiments: whether to try what is found.
        memory: bytes that a full frame may take beside the process, or as ``"2GB"``; 60 % of what is free if None.
        seconds: about as long as one experiment may take. Where memory or time don't reach for the size asked for,
            experiments run at the largest that fits, and the report says which.
        silence: reasons by guideline (``{"G1": "…"}``) or by guideline and module (``{"G1:encoder.*": "…"}``).
        only: keys of the guidelines to check against; all if None.
        machine: another machine's profile (`narrows calibrate`), or the path of one. Nothing is run then: the times of
            the network and of the changed one are predicted, at the size asked for, and a finding stands if the ratio
            lies beyond the error of such predictions. Bytes are counted.
        measurer: what measures; this machine if None.
        progress: called with a line for each experiment before it runs.

    Raises:
        InputError, CaptureError: one line each, before any experiment.
    """
    profile = read_profile(machine) if isinstance(machine, (str, os.PathLike)) else machine
    if profile is not None and (not experiments or memory is not None or measurer is not None):
        raise InputError("with a machine's profile nothing is run: give it without experiments=False, memory, measurer")
    held = loaded(model)
    shapes, kind = image_inputs(held, height, width, channels=channels, batch=batch, dtype=dtype, inputs=inputs)
    if not seconds > 0:
        raise InputError(f"an experiment takes some time, not {seconds} s")
    room = parse_bytes(memory) if memory is not None else int(free_memory() * _OF_FREE_MEMORY)
    silences = parse_silences(silence, KEYS, "silence") if isinstance(silence, Mapping) else list(silence)
    chosen = _chosen(only)
    sizes = list(shapes.values() if isinstance(shapes, Mapping) else shapes)
    if not any(len(shape) >= 3 for shape in sizes):
        raise InputError(f"none of the inputs {sizes} is an image (N, C, H, W)")
    if profile is not None and kind is not torch.float32:
        raise InputError(
            f"a machine's profile holds times for float32 only, and the network computes in {_named(kind)}"
        )
    subject = Subject(held, shapes, kind)
    bench: Bench | Foretelling | None = None
    if subject.model is not None and profile is not None:
        bench = Foretelling(subject, profile)
    elif subject.model is not None and experiments:
        bench = Bench(subject, measurer or ThisMachine(), room, seconds)
    findings: list[Finding] = []
    clean = []
    for guideline in chosen:
        found = list(_findings(guideline, subject, bench, silences, experiments, progress))
        findings += found
        if not found:
            clean.append(guideline.key)
    tried = [f.outcome.size for f in findings if f.outcome is not None and profile is None]
    return CheckReport(
        height,
        width,
        ordered(findings),
        tried[0] if tried else None,
        bench.because if bench is not None and tried else "",
        _machine(kind) if profile is None else _machine_of(profile, kind),
        tuple(clean),
        machine_name(profile) if profile is not None else "",
    )


def _chosen(only: Iterable[str] | None) -> list[Guideline]:
    if only is None:
        return list(GUIDELINES)
    wanted = [key.upper() for key in only]
    for key in wanted:
        if key not in KEYS:
            raise InputError(f"there is no guideline '{key}'; they are {', '.join(KEYS)}")
    return [guideline for guideline in GUIDELINES if guideline.key in wanted]


def _findings(
    guideline: Guideline,
    subject: Subject,
    bench: Bench | Foretelling | None,
    silences: Sequence[Silence],
    experiments: bool,
    progress: Said | None,
) -> Iterable[Finding]:
    suspicions = sorted(guideline.find(subject), key=lambda s: -s.weight)
    tried = 0
    left: list[Suspicion] = []
    untried: dict[str, list[Suspicion]] = {}
    for seen in suspicions:
        # Networks that are sequences of layers make their calls inside torch: name the class instead.
        suspicion = dataclasses.replace(seen, source=seen.source or subject.class_line(seen.module))
        reason = _silenced(guideline, suspicion, subject, silences)
        if reason is not None:
            yield _finding(guideline, suspicion, "silenced", why=reason)
            continue
        if suspicion.experiment is None:
            if suspicion.certain:
                yield _finding(guideline, suspicion, "stands", why=suspicion.untried)
            else:
                untried.setdefault(suspicion.untried, []).append(suspicion)
            continue
        why = (
            "experiments are switched off"
            if not experiments
            else "an exported program has no modules to change"
            if bench is None
            else ""
        )
        if not why and tried >= _TRIED:
            left.append(suspicion)
            continue
        if why or bench is None:
            yield _finding(guideline, suspicion, "stands" if suspicion.certain else "not tried", why=why)
            continue
        if progress is not None:
            verb = "trying" if isinstance(bench, Bench) else "predicting"
            progress(f"{guideline.key}, {suspicion.module or 'the network'}: {verb} {suspicion.experiment.title}")
        try:
            status, outcome = bench.run(suspicion.experiment)
        except NotTriable as error:
            yield _finding(guideline, suspicion, "stands" if suspicion.certain else "not tried", why=str(error))
            continue
        except Undecidable as error:
            yield _finding(guideline, suspicion, "stands" if suspicion.certain else "undecided", why=str(error))
            continue
        tried += 1
        finding = _finding(guideline, suspicion, "stands" if suspicion.certain else status)
        severity = severity_of(outcome.gain) if finding.status == "stands" else "none"
        yield dataclasses.replace(finding, outcome=outcome, severity=severity)
    if left:
        untried[f"the {_TRIED} weightiest places of {guideline.key} were"] = left
    for why, alike in untried.items():
        yield _finding(guideline, _together(alike), "not tried", why=why)


def _together(alike: list[Suspicion]) -> Suspicion:
    """Several places that weren't tried for one reason."""
    first, *others = alike
    if not others:
        return first
    named = ", ".join(suspicion.module or "the network" for suspicion in others[:3])
    more = (
        f"{first.fact}; {len(others)} more place{'s' * (len(others) > 1)} ({named}{', …' if len(others) > 3 else ''})"
    )
    return dataclasses.replace(first, fact=more, places=sum(suspicion.places for suspicion in alike))


def _silenced(guideline: Guideline, suspicion: Suspicion, subject: Subject, silences: Sequence[Silence]) -> str | None:
    modules = suspicion.modules or (suspicion.module,)
    for silence in silences:
        if silence.covers(guideline.key, modules):
            return silence.reason
    return in_source(subject.source_files(suspicion.module), suspicion.source, guideline.key, KEYS)


def _finding(guideline: Guideline, suspicion: Suspicion, status: Status, why: str = "") -> Finding:
    return Finding(
        guideline=guideline.key,
        name=guideline.name,
        module=suspicion.module,
        source=suspicion.source,
        fact=suspicion.fact,
        change=suspicion.change,
        status=status,
        severity="none" if status == "silenced" else "unmeasured",
        why=why,
        quality=guideline.quality if suspicion.quality is None else suspicion.quality,
        reference=guideline.source,
        places=suspicion.places,
    )


def _machine(dtype: torch.dtype) -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__.partition("+")[0],
        "dtype": _named(dtype),
    }


def _machine_of(profile: Profile, dtype: torch.dtype) -> dict[str, Any]:
    return {**profile.machine, "threads": profile.threads, "dtype": _named(dtype)}


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
