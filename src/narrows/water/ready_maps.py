"""Maps of what is given: water maps as they are, scenes mapped first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.water.batch import identity, scene_name
from narrows.water.map_files import is_map
from narrows.water.mapping import MapOptions, Progress
from narrows.water.products import MapFiles, is_finished, map_to_files, run_key

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from narrows.water.network import WaterNetwork

__all__ = ["Mapper"]


@dataclass(frozen=True)
class Mapper:
    """Maps scenes into a folder, NAME_water.tif each, one finished before not again.

    Attributes:
        network: gives the network; asked with `hidden` for its own opinion of what clouds hide.
        options: threshold and budget.
        mask_clouds, tells_hidden: hide clouds, as in `map_water`; whether the network has an opinion of them.
        scene_options: what `open_scene` takes.
        progress: a context manager around each scene, given its name, that gives the callback for the rows done.
    """

    network: Callable[..., WaterNetwork]
    options: MapOptions
    mask_clouds: bool | None
    tells_hidden: bool
    progress: Callable[[str], AbstractContextManager[Progress | None]]
    scene_options: dict[str, Any] = field(default_factory=dict)

    def ready(self, source: str, folder: Path, *, overwrite: bool = False) -> Path:
        """The water map `source`, or that of the scene `source`, made in `folder`.

        Raises:
            NarrowsError: the scene can't be mapped.
        """
        if is_map(source):
            return Path(source)
        from narrows.rasters import open_scene
        from narrows.water.api import choose_clouds

        name = scene_name(source)
        files = MapFiles(folder / f"{name}_water.tif")
        network = self.network()
        asked = [network.name, network.digest, network.gives, self.options.threshold, self.mask_clouds]
        key = run_key(identity(source), {"asked": asked, "scene": self.scene_options})
        if is_finished(files, key):
            return files.mask
        with open_scene(source, **self.scene_options) as scene:
            clouds = choose_clouds(scene, self.mask_clouds, may_ask_network=self.tells_hidden)
            with self.progress(name) as progress:
                map_to_files(
                    scene,
                    self.network(hidden=clouds == "network"),
                    replace(self.options, clouds=clouds),
                    files,
                    name=name,
                    key=key,
                    overwrite=overwrite,
                    progress=progress,
                )
        return files.mask
