"""What the benchmarks of water maps share: the network to be scored, the methods beside it, scenes held whole.

Peers don't change while a network is trained, and WaterDetect takes half a minute for a window of any size: their
answers are kept in a folder, by the pixels that they were given.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from narrows.water.evaluation.methods import Answer, Method, NetworkMethod, rules
from narrows.water.evaluation.peers import Missing, find_peers
from narrows.water.evaluation.view import View, read_view
from narrows.water.network import WaterNetwork

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
KEPT = ROOT / "build" / "peer_answers"


def add_options(parser: argparse.ArgumentParser, *, peers: bool = True) -> None:
    """`--model` and, with `peers`, what says which peers are asked."""
    parser.add_argument(
        "--model", default="water", help="weights that come with the package, by name; or as narrows water --model"
    )
    if peers:
        parser.add_argument("--no-peers", action="store_true")
        parser.add_argument("--kept", type=Path, default=KEPT, help="where peers' answers are kept (%(default)s)")


def network_of(model: str, *, hidden: bool = False) -> WaterNetwork:
    """The network that `model` names; with `hidden` also its own opinion of what clouds hide.

    Raises:
        InputError: there is none of this name.
    """
    from narrows.water import weights
    from narrows.water.adapters import WaterAndHidden, WaterOnly
    from narrows.water.api import choose_network
    from narrows.water.network import digest_of

    if model not in weights.available():
        return choose_network(model, "probability", hidden=hidden)
    module = weights.load(model).eval()
    adapter = WaterAndHidden(module) if hidden else WaterOnly(module)
    return WaterNetwork(model, adapter.eval(), "probability", digest_of(module), tells_hidden=hidden)


def networks_of(model: str) -> list[Method]:
    """The network as it is, and hiding clouds by its own opinion."""
    return [NetworkMethod(network_of(model, hidden=hidden)) for hidden in (False, True)]


@dataclass(frozen=True)
class WithoutSwir:
    """A network shown the scene of a sensor without shortwave infrared."""

    method: NetworkMethod

    @property
    def name(self) -> str:
        return f"{self.method.name}, without shortwave infrared"

    @property
    def quick(self) -> bool:
        return self.method.quick

    @property
    def needs_swir(self) -> bool:
        return False

    def map(self, view: View) -> Answer:
        reflectance = view.reflectance.copy()
        reflectance[4:] = np.where(view.observed | view.filled, 1, 0)
        return self.method.map(replace(view, reflectance=reflectance, lacks=("swir1", "swir2")))


def methods_of(chosen: argparse.Namespace) -> tuple[list[Method], list[Missing]]:
    """The network, every index and rule, and the peers that are installed; and those that aren't."""
    peers, missing = ([], []) if chosen.no_peers else find_peers()
    return [*networks_of(chosen.model), *rules(), *(Kept(peer, chosen.kept) for peer in peers)], missing


@dataclass(frozen=True)
class Kept:
    """A method whose answers are kept in `folder` for the next time that it is shown the same pixels."""

    method: Method
    folder: Path

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def quick(self) -> bool:
        return self.method.quick

    def map(self, view: View) -> Answer:
        digest = hashlib.sha256(self.name.encode())
        for array in (view.reflectance, view.observed):
            digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        file = self.folder / f"{digest.hexdigest()[:24]}.npz"
        if file.exists():
            with np.load(file) as held:
                return Answer(held["classes"], held.get("probability"))
        answer = self.method.map(view)
        self.folder.mkdir(parents=True, exist_ok=True)
        more = {} if answer.probability is None else {"probability": answer.probability}
        part = file.with_suffix(".part")
        with part.open("wb") as opened:
            np.savez_compressed(opened, classes=answer.classes, **more)
        part.replace(file)
        return answer


def view_of(source: Path, options: str) -> View:
    """A scene held whole; `options` as `scenes.SCENES` has them.

    Raises:
        InputError: it can't be read.
    """
    from narrows.rasters import open_scene

    said = shlex.split(options)
    more: dict[str, Any] = {key.removeprefix("--"): value for key, value in zip(said[::2], said[1::2], strict=True)}
    for key in ("scale", "offset"):
        if key in more:
            more[key] = tuple(float(part) for part in more[key].split(","))
    if "nodata" in more:
        more["nodata"] = float(more["nodata"])
    with open_scene(source, **more) as scene:
        return read_view(scene)
