"""`narrows import-deepwatermap`: the published network's weights, from TensorFlow to safetensors."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("import-deepwatermap")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.safetensors",
    help="Where the weights go (149 MB).",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def command(checkpoint: Path, output: Path, overwrite: bool) -> None:
    """Read DeepWaterMapV2's weights from its authors' TensorFlow checkpoint.

    CHECKPOINT is the name that the checkpoint's files share (cp.135.ckpt), one of these files, or a folder
    with one checkpoint in it. This command alone needs TensorFlow: pip install 'narrows[deepwatermap]'.

    \b
    Example:
      narrows import-deepwatermap checkpoints/cp.135.ckpt -o deepwatermap.safetensors
      narrows water SCENE -o water.tif --model deepwatermap:deepwatermap.safetensors
    """
    from narrows.errors import OutputError
    from narrows.water.deepwatermap_import import import_checkpoint
    from narrows.water.outputs import StagedOutputs, check_output, check_space

    check_output(output, overwrite=overwrite)
    state = import_checkpoint(checkpoint)
    check_space({output: sum(tensor.nbytes for tensor in state.values())})

    from safetensors.torch import save

    content = save(state, metadata={"network": "narrows.networks.deepwatermap:deepwatermap_v2"})
    with StagedOutputs(overwrite=overwrite) as outputs:
        try:
            outputs.add(output).write_bytes(content)
        except OSError as error:
            raise OutputError(f"{output}: can't be written ({error.strerror})") from error
    click.echo(f"{output}: the weights of DeepWaterMapV2, {sum(t.numel() for t in state.values() if t.dim()):,} values")
