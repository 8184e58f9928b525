"""Pages PD670 to PD674: a checkpoint that `pathdsl convert` does not make a model of."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page

__all__ = ["CHECKPOINT_PAGES"]

_SHOWN_BY = "tests/engine/test_convert.py"

CHECKPOINT_PAGES: tuple[Page, ...] = (
    Page(
        code="PD670",
        name="unreadable-checkpoint",
        summary="A checkpoint is missing, damaged, or holds something else than numbers by name.",
        why="A pickle runs code when its objects are made, so that only tensors are read of it: a "
        "whole model, or a config of a class of its own, is an object. A weight that is infinite "
        "or not a number makes every logit no number.",
        repair="Save the weights alone where the model was made: `torch.save(model.state_dict(), "
        '"weights.pth")`. Of a training that diverged take an earlier checkpoint.',
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD671",
        name="layout-not-told",
        summary="The weights of a checkpoint fit more than one layout.",
        why="Some programs store a matrix as it is applied, others turned around. Shapes tell "
        "which it is as long as one matrix is not square: where heads are as wide as the stream "
        "and the vocabulary as large as the context, nothing does, and the wrong one would be a "
        "model that nobody trained.",
        repair="Say which it is: `--layout tl`, `nanda`, `solu-old`, `mingpt` or `tl4`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD672",
        name="unknown-weight",
        summary="A checkpoint has a weight that the model has not, or lacks one.",
        why="A weight that is left out or made up changes what is computed. Masks and tables of "
        "angles are made anew and compared with those that are saved, and a bias that is not there "
        "is none; everything else must be known.",
        repair="Name the layout with `--layout`, or correct the config with `--config FILE`; take "
        "weights that are no part of the model out of the file.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD673",
        name="weight-of-another-shape",
        summary="A weight of a checkpoint is not of the shape that its layout and config give it.",
        why="Every axis has a meaning (heads, width, tokens) whose size must be the same in all "
        "weights. A matrix that is turned around, or heads counted wrongly, show up here.",
        repair="Name the layout with `--layout`, or correct sizes in the config.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD674",
        name="config-not-computed",
        summary="The config of a checkpoint lacks what weights do not show, contradicts them, or "
        "asks for something that is not computed.",
        why="An activation, a norm without weights, a direction of attention or a scale leave no "
        "trace in weights. With another one the same weights are another model.",
        repair="Write a JSON file with the fields and give it with `--config`; it goes over the "
        "`config.json` that lies beside the checkpoint. docs/toys.md lists what is computed.",
        shown_by=_SHOWN_BY,
    ),
)
