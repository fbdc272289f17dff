"""The MODEL argument that every command understands."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from narrows.errors import InputError

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

__all__ = ["model_options", "parse_arguments", "read_model"]

HELP = (
    "MODEL is a .pt2 file (torch.export.save), package.module:factory or file.py:factory; "
    "a factory is called without arguments unless --arg gives some."
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --weights, --arg and --channels, which say more about MODEL, to a click command."""
    command = click.option(
        "--channels", type=click.IntRange(min=1), help="Channels of the input, where the network doesn't say."
    )(command)
    command = click.option(
        "--arg",
        "arguments",
        multiple=True,
        metavar="NAME=VALUE",
        help="An argument for the factory; may be repeated.",
    )(command)
    return click.option(
        "--weights",
        type=click.Path(dir_okay=False),
        metavar="FILE.safetensors",
        help="Weights to load into the network.",
    )(command)


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """``["width=16", "name=small"]`` as ``{"width": 16, "name": "small"}``: Python literals, else text.

    Raises:
        InputError: one is not NAME=VALUE.
    """
    parsed: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--arg {argument}: write it as name=value")
        try:
            parsed[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed[name] = value
    return parsed


def read_model(
    text: str, weights: str | Path | None = None, arguments: Sequence[str] = ()
) -> nn.Module | ExportedProgram:
    """The network that `text` names, in eval mode.

    `text` is a ``.pt2`` file, ``package.module:factory`` or ``file.py:factory``; `weights` a safetensors file
    with exactly the network's parameters and buffers; `arguments` are NAME=VALUE for the factory.

    Raises:
        InputError: with one line that says which of these doesn't work, and why.
    """
    given = parse_arguments(arguments)
    if text.endswith(".pt2"):
        if given or weights:
            raise InputError(f"{text}: a .pt2 file holds its own arguments and weights; leave out --arg and --weights")
        return _exported(Path(text))
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise InputError(f"'{text}' is no network: name a .pt2 file, package.module:factory or file.py:factory")
    model = _call(_factory(place, name), text, given)
    if weights is not None:
        from narrows.training.loading import load_weights

        load_weights(model, Path(weights))
    return model.eval()


def _exported(path: Path) -> ExportedProgram:
    import torch

    import narrows.rowgraph.operators  # noqa: F401  (a file that uses the project's own operators needs them known)

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return torch.export.load(path)
    except Exception as error:
        raise InputError(f"{path}: not a network that torch.export.save wrote ({_first_line(error)})") from error


def _factory(place: str, name: str) -> Callable[..., Any]:
    if place.endswith(".py"):
        module = _module_from_file(Path(place))
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise InputError(f"{place}: can't be imported (no module named '{error.name}')") from error
        except Exception as error:
            raise InputError(f"{place}: can't be imported ({type(error).__name__}: {_first_line(error)})") from error
    try:
        factory = getattr(module, name)
    except AttributeError:
        raise InputError(f"{place} has no '{name}'") from None
    if not callable(factory):
        raise InputError(f"{place}:{name} is no factory: it can't be called")
    return factory


def _module_from_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    # A name that no other module has, and registered, so that classes defined in the file can be found again.
    name = f"narrows_user_{path.stem}_{abs(hash(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{path}: can't be imported ({type(error).__name__}: {_first_line(error)})") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _call(factory: Callable[..., Any], text: str, given: dict[str, Any]) -> nn.Module:
    from torch import nn

    if isinstance(factory, nn.Module):
        raise InputError(f"{text} is a network, not a factory; name a function or class that makes one")
    try:
        inspect.signature(factory).bind(**given)
    except TypeError as error:
        raise InputError(f"{text}: {error}; give it with --arg name=value") from error
    except ValueError:
        pass  # a factory without a signature: let the call itself tell
    try:
        model = factory(**given)
    except Exception as error:
        raise InputError(f"{text} failed: {type(error).__name__}: {_first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{text} gave a {type(model).__name__}, not a torch.nn.Module")
    return model


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
