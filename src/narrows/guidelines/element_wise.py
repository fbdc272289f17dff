"""G4: element-wise operators."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import ACTIVATIONS, ELEMENTWISE, Subject
from narrows.guidelines.core.surgery import replaced
from narrows.rowgraph.graph import Node

SHARE = 0.4


def find(subject: Subject) -> Iterator[Suspicion]:
    nodes = [n for n in subject.nodes if n.operator in ELEMENTWISE and n.rows and not subject.free(n)]
    moved = sum(subject.moved(n) for n in subject.nodes)
    share = sum(subject.moved(n) for n in nodes) / max(moved, 1)
    if share < SHARE:
        return
    pairs, in_place = _foldable(subject), _overwritable(subject)
    if not pairs and not in_place:
        return
    todo = []
    if pairs:
        todo.append(f"folding {len(pairs)} batch norm{'s' * (len(pairs) > 1)} into the convolutions before")
    if in_place:
        todo.append(f"running {len(in_place)} activation{'s' * (len(in_place) > 1)} in place")

    def change(model: nn.Module) -> None:
        for conv, norm in pairs:
            layer, after = model.get_submodule(conv), model.get_submodule(norm)
            assert isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
            replaced(model, conv, fuse_conv_bn_eval(layer, after))
            replaced(model, norm, nn.Identity())
        for path in in_place:
            model.get_submodule(path).inplace = True  # type: ignore[assignment]

    why = "an exported program has no modules to change" if subject.model is None else ""
    yield Suspicion(
        "",
        None,
        f"{len(nodes)} element-wise operators move {100 * share:.0f} % of the bytes",
        "for inference, fold batch norms (torch.nn.utils.fusion.fuse_conv_bn_eval) and let activations run in place "
        "(inplace=True): the result stays the same; each shortcut, activation and gate left costs a pass over memory",
        share,
        Experiment(" and ".join(todo), change, same_result=True),
        why,
        places=len(nodes),
    )


def _once(subject: Subject, node: Node, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> bool:
    """The call is a module of that kind, called nowhere else."""
    return not subject.why_no_module(node, kind) and sum(n.module == node.module for n in subject.nodes) == 1


def _foldable(subject: Subject) -> list[tuple[str, str]]:
    found = []
    for node in subject.nodes:
        if node.operator != "batch_norm" or not node.rows:
            continue
        conv = subject.nodes[node.inputs[0]]
        alone = len(subject.consumers[conv.index]) == 1 and not subject.is_output(conv)
        if (
            conv.operator == "conv2d"
            and alone
            and _once(subject, conv, nn.Conv2d)
            and _once(subject, node, nn.BatchNorm2d)
        ):
            found.append((conv.module, node.module))
    return found


def _overwritable(subject: Subject) -> list[str]:
    """Activation modules that could run in place wherever they are called, and don't."""
    safe: dict[str, bool] = {}
    for node in subject.nodes:
        if node.operator not in ACTIVATIONS or not node.rows or subject.model is None:
            continue
        module = subject.module(node.module)
        if getattr(module, "inplace", None) is not False:
            continue
        value = subject.nodes[node.inputs[0]]
        alone = len(subject.consumers[value.index]) == 1 and not subject.is_output(value) and not subject.free(value)
        safe[node.module] = safe.get(node.module, True) and alone
    return [path for path, here in safe.items() if here]


GUIDELINE = Guideline(
    key="G4",
    name="Element-wise operators",
    statement="Element-wise operators (activations, additions, batch norm, gates) cost far more time than their "
    "operations suggest.",
    source="Ma et al., ShuffleNet V2, ECCV 2018 (arXiv 1807.11164), guideline 4",
    figures="A bottleneck with ReLU and shortcut, and with neither: 2427 and 2842 batches/s on a GPU, 56.7 and 66.3 "
    "images/s on "
    "an ARM core (table 4, x1).",
    finds=f"Networks in which element-wise operators, as the user's Python runs them, move at least {100 * SHARE:g} "
    "% of all bytes, and "
    "in which a batch norm could be folded into its convolution or an activation could run in place.",
    tries="Batch norms folded and activations in place, which leaves the result as it is; that it does is checked.",
    find=find,
)
