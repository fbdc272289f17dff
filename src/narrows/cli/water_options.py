"""Options that the commands below `narrows water` share: how a scene is read, which network maps it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from narrows.cli.options import MEMORY, Decorator
from narrows.cli.speaking import progress_bar
from narrows.errors import InputError
from narrows.water.model_files import tells_hidden

if TYPE_CHECKING:
    from narrows.water.network import WaterNetwork
    from narrows.water.ready_maps import Mapper

__all__ = [
    "BY_PIXEL",
    "MAPPING_OPTIONS",
    "MASK_CLOUDS",
    "MODEL_OPTIONS",
    "SCENE_OPTIONS",
    "THRESHOLD",
    "Networks",
    "mapper",
]


class _Numbers(click.ParamType):
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[float, ...]:
        try:
            return tuple(float(each) for each in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is neither a number nor numbers with commas between them", param, context)


_NUMBERS = _Numbers()

THRESHOLD = click.option(
    "--threshold", type=float, default=0.5, show_default=True, help="Water from this probability on."
)
MASK_CLOUDS = click.option(
    "--mask-clouds/--no-mask-clouds",
    default=None,
    help="Hide clouds and shadows by the product's QA_PIXEL, SCL or Fmask, or else by the network itself; or hide "
    "nothing. Without either the network itself says what is hidden, if it is one of narrows' or of narrows water "
    "train.",
)
MODEL_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--model",
        metavar="MODEL",
        help="Another network than water: water-small, a file of narrows water train, "
        "deepwatermap:weights.safetensors, or a .pt2 file, package.module:factory or file.py:factory from six bands "
        "to one channel.",
    ),
    click.option("--weights", type=click.Path(), metavar="FILE.safetensors", help="Weights for such a network."),
    click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE", help="An argument for its factory."),
    click.option(
        "--gives",
        type=click.Choice(["probability", "logits"]),
        default="probability",
        show_default=True,
        help="What such a network's output is.",
    ),
    click.option(
        "--without-swir",
        is_flag=True,
        help="Such a network was taught to do without shortwave infrared, given as 1 in both bands.",
    ),
)
SCENE_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--bands",
        metavar="LIST",
        help="Order of the bands: six numbers, for blue,green,red,nir,swir1,swir2, as 2,3,4,5,6,7; or four, where "
        "there is no shortwave infrared; or a name for each band of the file.",
    ),
    click.option("--sensor", help="The sensor, where the files don't say."),
    click.option(
        "--scale",
        type=_NUMBERS,
        help="Reflectance = number x SCALE + OFFSET, instead of what the files say: one number, or one for "
        "each of blue,green,red,nir,swir1,swir2 (or the first four).",
    ),
    click.option("--offset", type=_NUMBERS, help="See --scale."),
    click.option("--nodata", type=float, help="The number of pixels without data, instead of what the files say."),
)
MAPPING_OPTIONS: tuple[Decorator, ...] = (MEMORY, THRESHOLD, MASK_CLOUDS, *MODEL_OPTIONS, *SCENE_OPTIONS)
"""What `mapper` takes."""
BY_PIXEL = click.option("--by-pixel", is_flag=True, help="Maps without a georeference show the same ground.")


class Networks:
    """The network for this command, read once for each way it is used."""

    def __init__(
        self, model: str | None, weights: str | None, arguments: tuple[str, ...], gives: Any, without_swir: bool = False
    ):
        if model is None and (weights or arguments):
            raise InputError("--weights and --arg belong to --model")
        if tells_hidden(model) and model is not None and (weights or arguments):
            raise InputError(f"{model}: holds its own weights and arguments; leave out --weights and --arg")
        if without_swir and (model is None or tells_hidden(model) or model.startswith("deepwatermap:")):
            raise InputError("--without-swir is said of a network of your own, which --model names")
        self._without_swir = without_swir
        self._said = (model, weights, arguments, gives)
        self._known: dict[bool, WaterNetwork] = {}

    @property
    def tells_hidden(self) -> bool:
        """Whether the network has an opinion of what clouds hide."""
        return tells_hidden(self._said[0])

    def get(self, *, hidden: bool = False) -> WaterNetwork:
        if hidden not in self._known:
            self._known[hidden] = self._read(hidden)
        return self._known[hidden]

    def _read(self, hidden: bool) -> WaterNetwork:
        from narrows.cli.model_argument import read_model
        from narrows.water.api import choose_network
        from narrows.water.network import own_network

        model, weights, arguments, gives = self._said
        named = model is not None and ":" not in model and not model.lower().endswith(".pt2")
        if model is None or named or tells_hidden(model) or model.startswith("deepwatermap:"):
            return choose_network(model, gives, hidden=hidden)
        own = read_model(model, weights, arguments)
        return own_network(own, Path(model).name, gives, without_swir=self._without_swir)


def mapper(
    *,
    memory: str | None,
    threshold: float,
    mask_clouds: bool | None,
    model: str | None,
    weights: str | None,
    arguments: tuple[str, ...],
    gives: Any,
    without_swir: bool,
    quiet: bool,
    **scene_options: Any,
) -> Mapper:
    """What maps the scenes of a command by its options.

    Raises:
        InputError: an option is wrong.
    """
    from narrows.water.mapping import MapOptions
    from narrows.water.ready_maps import Mapper

    networks = Networks(model, weights, arguments, gives, without_swir)
    return Mapper(
        networks.get,
        MapOptions(threshold=threshold, memory=memory),
        mask_clouds,
        networks.tells_hidden,
        lambda name: progress_bar(name, shown=not quiet),
        {name: value for name, value in scene_options.items() if value is not None},
    )
