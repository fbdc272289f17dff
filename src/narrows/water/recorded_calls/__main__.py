"""Record the calls of the water networks: ``python -m narrows.water.recorded_calls``."""

from __future__ import annotations

from narrows.networks.water_net import water
from narrows.water.adapters import WaterAndHidden, WaterOnly
from narrows.water.recorded_calls import path_for, record


def main() -> None:
    for adapter in (WaterOnly(water()), WaterAndHidden(water())):
        path = path_for(adapter)
        path.write_text(record(adapter.eval()).text(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
