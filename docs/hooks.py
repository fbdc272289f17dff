"""Pages that the code fills in while the documentation is built, so that they can't fall behind it.

In a page, ``{{ operators }}`` becomes the list of the operator registry, ``{{ commands }}`` every command's help,
``{{ guidelines }}`` a section for each guideline, and ``{{ benchmark NAME }}`` the table of
``benchmarks/results/NAME.json``, or a line saying how to measure it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import report

FAMILIES = "narrows.rowgraph.operators."


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs calls this for every page."""
    for mark, fill in (("operators", operators), ("commands", commands), ("guidelines", guidelines)):
        if f"{{{{ {mark} }}}}" in markdown:
            markdown = markdown.replace(f"{{{{ {mark} }}}}", fill())
    return re.sub(r"\{\{ benchmark (\w+) \}\}", lambda found: report.as_markdown(found[1]), markdown)


def operators() -> str:
    """Every ATen name with a rule, by family."""
    import narrows.rowgraph.operators  # noqa: F401  (registers every family)
    from narrows.rowgraph.registry import lookup, registered

    families: dict[str, set[str]] = {}
    for target in registered():
        rule = lookup(target)
        module = getattr(rule, "__module__", "") or ""
        family = module.removeprefix(FAMILIES) if module.startswith(FAMILIES) else "other"
        families.setdefault(family, set()).add(_without_overload(target))
    lines = []
    for family in sorted(families):
        intro = _first_line(sys.modules.get(FAMILIES + family))
        lines += [
            f"### {family.capitalize()}",
            "",
            intro,
            "",
            ", ".join(f"`{n}`" for n in sorted(families[family])),
            "",
        ]
    return "\n".join(lines)


def _without_overload(target: str) -> str:
    parts = target.split(".")
    return ".".join(parts[:2]) if parts[0] == "aten" else target


def _first_line(module: Any) -> str:
    return ((module.__doc__ or "") if module else "").strip().split("\n\n")[0].replace("\n", " ")


def guidelines() -> str:
    """A section for each guideline, from what its own file says."""
    from narrows.guidelines.catalogue import GUIDELINES

    parts = []
    for guideline in GUIDELINES:
        parts += [f"### {guideline.key}: {guideline.name.lower()}", "", guideline.statement, ""]
        told = {
            "Source": guideline.source,
            "Figures": guideline.figures,
            "Quality": guideline.quality and f"as the source has it: {guideline.quality}.",
            "Looks for": guideline.finds,
            "Tries": guideline.tries,
        }
        parts += [f"- *{name}:* {text}" for name, text in told.items() if text] + [""]
    return "\n".join(parts)


def commands() -> str:
    """What ``--help`` prints, for every command."""
    from narrows.cli import narrows as main

    with click.Context(main, info_name="narrows") as context:
        parts = ["```text", main.get_help(context), "```", ""]
        for name in main.list_commands(context):
            command = main.get_command(context, name)
            assert command is not None
            with click.Context(command, info_name=f"narrows {name}") as inner:
                parts += [f"## narrows {name}", "", "```text", command.get_help(inner), "```", ""]
                for part in command.list_commands(inner) if isinstance(command, click.Group) else ():
                    below = command.get_command(inner, part)
                    assert below is not None
                    with click.Context(below, info_name=f"narrows {name} {part}") as innermost:
                        parts += [f"### narrows {name} {part}", "", "```text", below.get_help(innermost), "```", ""]
    return "\n".join(parts)
