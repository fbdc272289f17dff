from __future__ import annotations

import textwrap

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from narrows.cli.model_argument import parse_arguments, read_model
from narrows.errors import InputError


@pytest.fixture
def factory_file(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(
        textwrap.dedent(
            """
            from torch import nn

            def small(width=4, act="relu"):
                return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width))

            def needy(width):
                return nn.Conv2d(3, width, 1)

            def broken():
                raise RuntimeError("the moon is wrong\\nand so is the tide")

            def number():
                return 7

            made = small()
            answer = 42
            """
        )
    )
    return path


def test_a_factory_in_a_file_with_arguments(factory_file):
    model = read_model(f"{factory_file}:small", arguments=["width=6", "act=gelu"])
    assert model[0].out_channels == 6
    assert not model.training


def test_a_factory_in_a_package():
    model = read_model("torch.nn:Conv2d", arguments=["in_channels=2", "out_channels=3", "kernel_size=(3,1)"])
    assert model.kernel_size == (3, 1)


def test_arguments_are_python_literals_or_text():
    assert parse_arguments(["a=1", "b=(1,2)", "c=relu", "d=None", "e="]) == {
        "a": 1, "b": (1, 2), "c": "relu", "d": None, "e": "",
    }  # fmt: skip


def test_weights_are_loaded(factory_file, tmp_path):
    model = read_model(f"{factory_file}:small")
    state = {name: torch.full_like(value, 2) for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    again = read_model(f"{factory_file}:small", weights=tmp_path / "w.safetensors")
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name])


def test_an_exported_program(tmp_path):
    program = torch.export.export(nn.Conv2d(3, 1, 1).eval(), (torch.zeros(1, 3, 4, 4),))
    torch.export.save(program, tmp_path / "m.pt2")
    assert isinstance(read_model(str(tmp_path / "m.pt2")), torch.export.ExportedProgram)
    with pytest.raises(InputError, match="leave out"):
        read_model(str(tmp_path / "m.pt2"), arguments=["a=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "is no network"),
        ("no_such_package.nets:small", "no module named 'no_such_package'"),
        ("missing.py:small", "no such file"),
        ("missing.pt2", "no such file"),
        ("{file}:large", "has no 'large'"),
        ("{file}:answer", "can't be called"),
        ("{file}:made", "not a factory"),
        ("{file}:needy", "'width'"),
        ("{file}:broken", "the moon is wrong"),
        ("{file}:number", "gave a int"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(factory_file, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_model(text.format(file=factory_file))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_networks(tmp_path):
    (tmp_path / "bad.py").write_text("import nonsense_module_of_nobody\n")
    with pytest.raises(InputError, match="nonsense_module_of_nobody"):
        read_model(f"{tmp_path / 'bad.py'}:x")
    (tmp_path / "bad.pt2").write_bytes(b"PK not really")
    with pytest.raises(InputError, match=r"torch\.export\.save"):
        read_model(str(tmp_path / "bad.pt2"))


@pytest.mark.parametrize("bad", ["width", "=3", "a b=3"])
def test_an_argument_without_name_or_value(bad):
    with pytest.raises(InputError, match="name=value"):
        parse_arguments([bad])


def test_wrong_weights(factory_file, tmp_path):
    text = f"{factory_file}:small"
    with pytest.raises(InputError, match="no such file"):
        read_model(text, weights=tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_model(text, weights=tmp_path / "text.safetensors")
    save_file({"0.weight": torch.zeros(4, 3, 3, 3), "other": torch.zeros(1)}, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"missing.*extra \(such as other\)"):
        read_model(text, weights=tmp_path / "part.safetensors")
    state = {name: value.clone() for name, value in read_model(text, arguments=["width=5"]).state_dict().items()}
    save_file(state, tmp_path / "wide.safetensors")
    with pytest.raises(InputError, match=r"has shape \(5, 3, 3, 3\)"):
        read_model(text, weights=tmp_path / "wide.safetensors")
