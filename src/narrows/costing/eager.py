"""What the user's own Python holds: its forward functions run on tensors without memory.

Local variables, `nn.Sequential`, in-place operators and lists hold what they hold; nothing is modelled. Every operator
that PyTorch dispatches is seen, so also what composites such as `nn.LSTM` make on the way. Only what kernels take for
themselves is computed (`scratch.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch._subclasses import FakeTensorMode

from narrows.costing.report import Peak
from narrows.costing.scratch import scratch_of
from narrows.costing.storages import Storages, source_now

__all__ = ["eager_peak"]


def eager_peak(model: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Peak | str:
    """The peak of ``model(*args, **kwargs)``, inputs held throughout as a caller does; or why it can't be told.

    Args:
        args, kwargs: tensors of which only shape and dtype count.
    """
    paths = {id(module): path for path, module in reversed(list(model.named_modules()))}
    stack: list[str] = [""]

    def enter(module: torch.nn.Module, _: Any) -> None:
        stack.append(paths.get(id(module), stack[-1]))

    def leave(module: torch.nn.Module, _: Any, __: Any) -> None:
        stack.pop()

    hooks = [
        torch.nn.modules.module.register_module_forward_pre_hook(enter),
        torch.nn.modules.module.register_module_forward_hook(leave, always_call=True),
    ]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    storages = Storages(lambda: (stack[-1], source_now()), scratch=scratch_of)
    try:
        with mode, torch.no_grad():
            held = _fakes(model, mode)
            for tensor in held.values():
                storages.constant(tensor)
            given = [_blank(item) for item in args]
            named = {name: _blank(item) for name, item in kwargs.items()}
            for item in (*given, *named.values()):
                if isinstance(item, torch.Tensor):
                    storages.given(item)
            with storages:
                result = torch.func.functional_call(model, held, tuple(given), named)
            storages.result(result)
    except Exception as error:  # whatever the user's code raises on tensors without values
        reason = (str(error).strip().splitlines() or [""])[0]
        return f"its Python can't be run without values ({type(error).__name__}: {reason})"
    finally:
        for hook in hooks:
            hook.remove()
    return storages.peak()


def _fakes(model: torch.nn.Module, mode: FakeTensorMode) -> dict[str, torch.Tensor]:
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    made: dict[int, torch.Tensor] = {}
    return {name: made.setdefault(id(tensor), mode.from_tensor(tensor)) for name, tensor in named}


def _blank(item: Any) -> Any:
    return torch.empty(tuple(item.shape), dtype=item.dtype) if isinstance(item, torch.Tensor) else item
