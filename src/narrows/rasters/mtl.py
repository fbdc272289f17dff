"""Landsat metadata (MTL) as text, XML or JSON: groups of keys, since the same key stands in several groups."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass

from narrows.errors import InputError

__all__ = ["Metadata", "parse_mtl"]


@dataclass(frozen=True)
class Metadata:
    """The groups of an MTL file; all values are strings without quotes."""

    name: str
    groups: Mapping[str, Mapping[str, str]]

    def find(self, key: str, *groups: str) -> str | None:
        """The value of `key` in the first of `groups` that has it."""
        for group in groups:
            value = self.groups.get(group, {}).get(key)
            if value is not None:
                return value
        return None

    def number(self, key: str, *groups: str) -> float | None:
        """The same as a number.

        Raises:
            InputError: it is not a number.
        """
        value = self.find(key, *groups)
        if value is None:
            return None
        try:
            return float(value)
        except ValueError:
            raise InputError(f"{self.name}: {key} is '{value}', not a number") from None


def parse_mtl(text: str, name: str) -> Metadata:
    """The metadata of an MTL file of any of the three formats, told apart by the first character.

    Raises:
        InputError: it is none of them, or is cut short.
    """
    start = text.lstrip("\ufeff \t\r\n")[:1]
    try:
        if start == "<":
            groups = _from_xml(text)
        elif start == "{":
            groups = _from_json(text)
        else:
            groups = _from_text(text)
    except (ElementTree.ParseError, json.JSONDecodeError, ValueError) as error:
        raise InputError(f"{name}: is no Landsat metadata: {' '.join(str(error).split())}") from error
    if not groups:
        raise InputError(f"{name}: is no Landsat metadata: it has no groups")
    return Metadata(name, groups)


def _from_text(text: str) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    open_groups: list[str] = []
    for line in text.replace("\0", "").splitlines():
        match = re.match(r"\s*(\w+)\s*=\s*(.*?)\s*$", line)
        if not match:
            continue
        key, value = match[1], match[2].strip('"')
        if key == "GROUP":
            open_groups.append(value)
            groups.setdefault(value, {})
        elif key == "END_GROUP":
            if not open_groups or open_groups.pop() != value:
                raise ValueError(f"group {value} ends but did not begin")
        elif open_groups:
            groups[open_groups[-1]][key] = value
    if open_groups:
        raise ValueError(f"it is cut short: group {open_groups[-1]} has no end")
    return groups


def _from_xml(text: str) -> dict[str, dict[str, str]]:
    root = ElementTree.fromstring(text.strip("\0 \r\n\ufeff"))
    return {group.tag: {item.tag: (item.text or "").strip() for item in group} for group in root}


def _from_json(text: str) -> dict[str, dict[str, str]]:
    content = json.loads(text.strip("\0 \r\n\ufeff"))
    while isinstance(content, dict) and len(content) == 1:
        content = next(iter(content.values()))
    if not isinstance(content, dict):
        raise ValueError("it has no groups")
    return {
        group: {key: str(value) for key, value in items.items()}
        for group, items in content.items()
        if isinstance(items, dict)
    }
