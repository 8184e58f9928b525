"""Pages PD600 to PD622: a model cannot be found, or must not be loaded as it is."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL, TASK

__all__ = ["MODEL_PAGES"]

_SHOWN_BY = "tests/engine/test_load.py"
_LET = "\nlet whole = mean(LD(reference))\n"
_TINY = '"n_embd": 4, "n_head": 2, "n_layer": 1, "n_positions": 64, "vocab_size": 5'


def _example(model: str, config: str | None = None) -> Example:
    """A file with this model line, and the config of the folder `tiny` where one is given."""
    return Example(
        text=CIRCUIT + model + TASK + METRIC + _LET,
        files={} if config is None else {"tiny/config.json": config},
        command="plan",
    )


_TINY_MODEL = '\nmodel tiny = folder("tiny")\n'
_PASSING = _example(MODEL)

_NOT_FOUND: tuple[Page, ...] = (
    Page(
        code="PD600",
        name="no-model-folder",
        summary="The folder of a model is not there.",
        why="A folder is relative to the file that names it.",
        repair="Correct the path, or give one for this run: `--model NAME=folder:PATH`.",
        failing=_example(_TINY_MODEL),
        passing=_PASSING,
    ),
    Page(
        code="PD601",
        name="no-config",
        summary="A model has no `config.json`.",
        why="The config says how the weights are to be used.",
        repair="Save the model with `model.save_pretrained(folder)`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD602",
        name="no-weights",
        summary="A model has no weight file.",
        why="A model with random weights has no circuits.",
        repair="Complete the folder: `model.safetensors`, or its shards with their index.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD603",
        name="pickled-weights",
        summary="A model has its weights only as a pickle (`pytorch_model.bin` and the like).",
        why="A pickle can run any code when it is read; checking a file must never run code that "
        "came with it.",
        repair="Save the weights as safetensors with `model.save_pretrained(folder)`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD611",
        name="hub-unreachable",
        summary="A model of the hub could not be had: no network, no such model, or no access.",
        why="Nothing could be run.",
        repair="Download it elsewhere and name the folder: `--model NAME=folder:PATH`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD613",
        name="no-such-bundled-model",
        summary="No model of that name comes with the package.",
        why="`bundled` names the models that are installed with pathdsl.",
        repair="Use one of the names that are listed, or `folder` or `hf`.",
        failing=_example('\nmodel mini = bundled("ioi-maxi")\n'),
        passing=_PASSING,
    ),
    Page(
        code="PD614",
        name="unreadable-model-option",
        summary="The option `--model` cannot be read.",
        why="It replaces a model by another: `--model gpt2=folder:models/gpt2`.",
        repair="Write the model's name in the file, `=`, then `folder:`, `hf:` or `bundled:`.",
        shown_by="tests/engine/test_source.py",
    ),
    Page(
        code="PD616",
        name="unreadable-model",
        summary="The loader of a model is not written as it must be.",
        why="It takes one quoted text, and `revision:` (hub only) and `dtype:` by name.",
        repair="Write it as the message shows.",
        shown_by="tests/engine/test_source.py",
    ),
)

_REFUSED: tuple[Page, ...] = (
    Page(
        code="PD604",
        name="custom-code",
        summary="A model brings its own Python code (`auto_map` in its config).",
        why="Checking a file never executes code that comes with it.",
        repair="Use a model whose architecture is part of transformers.",
        failing=_example(
            _TINY_MODEL, '{"model_type": "gpt2", "auto_map": {"AutoModel": "mine.Mine"}}'
        ),
        passing=_PASSING,
    ),
    Page(
        code="PD605",
        name="weights-do-not-fit",
        summary="Weights are missing, left over, or of another shape than the config says.",
        why="transformers would fill in random numbers and go on; the result would be about "
        "another model.",
        repair="Save model and config together with `model.save_pretrained(folder)`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD606",
        name="weights-not-finite",
        summary="A weight is infinite or not a number.",
        why="Every result would be, too. In float16, weights above 65504 become infinite.",
        repair="Load the model in float32 or bfloat16, or repair the file.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD607",
        name="unsupported-architecture",
        summary="There is no adapter for this kind of model.",
        why=(
            "Each architecture is taken apart into heads and MLPs by code that was written and "
            "tested for it. A decomposition that is nearly right gives wrong numbers."
        ),
        repair=(
            "Use a supported model type: a decoder of text without experts. Adapters of PEFT must "
            "be merged into the weights."
        ),
        failing=_example(_TINY_MODEL, '{"model_type": "no-such-architecture"}'),
        passing=_PASSING,
    ),
    Page(
        code="PD608",
        name="quantised-weights",
        summary="The weights of a model are quantised.",
        why="Their rounded products are not a sum over the parts that a hypothesis names.",
        repair="Use the unquantised model.",
        failing=_example(
            _TINY_MODEL,
            '{"model_type": "gpt2", "quantization_config": {"bits": 4}, ' + _TINY + "}",
        ),
        passing=_PASSING,
    ),
    Page(
        code="PD609",
        name="damaged-weights",
        summary="A weight file is damaged, incomplete or missing a part.",
        why="A download or a copy was cut off.",
        repair="Copy or download it again.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD610",
        name="unsupported-dtype",
        summary="A model cannot be loaded in this dtype.",
        why="float32, float64, bfloat16 and float16 are supported; the dtype is a part of the "
        "result and is printed with it.",
        repair="Write `dtype: float32`, or nothing.",
        shown_by="tests/engine/test_source.py",
    ),
    Page(
        code="PD612",
        name="unsupported-model-option",
        summary="A model has parts or options that the adapter of its family does not take apart.",
        why="Cross-attention, added modules, mixed weights and tensor-parallel shards would have "
        "to be guessed at.",
        repair="Use the plain model; the message names the part.",
        failing=_example(
            _TINY_MODEL, '{"model_type": "gpt2", "add_cross_attention": true, ' + _TINY + "}"
        ),
        passing=_PASSING,
    ),
    Page(
        code="PD615",
        name="unusable-config",
        summary="The config of a model cannot be read, is incomplete or contradicts itself.",
        why="The shape of the model decides which nodes and edges exist.",
        repair="Save the model again with `model.save_pretrained(folder)`.",
        failing=_example(_TINY_MODEL, '{"model_type": "gpt2", "n_embd": 5, "n_head": 2}'),
        passing=_PASSING,
    ),
    Page(
        code="PD617",
        name="unusable-tokenizer",
        summary="The tokenizer of a model cannot be read, is not a fast one, or is not that of the "
        "folder.",
        why="A slow tokenizer cannot say which characters a token covers. And for GPT-2, Qwen2 and "
        "GPT-NeoX, transformers 5 takes no more than vocabulary and merges from `tokenizer.json`: "
        "a model that was trained with another way of splitting texts would read tokens that it "
        "never saw.",
        repair="Save it again with `tokenizer.save_pretrained(folder)`. Where the folder's own "
        "`tokenizer.json` is not what transformers makes of it, name the class that takes it as it "
        'is in `tokenizer_config.json`: `"tokenizer_class": "PreTrainedTokenizerFast"`.',
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD618",
        name="training-mode",
        summary="A module of the model is in training mode.",
        why="Dropout would make every run another one.",
        repair="Call `model.eval()`.",
        shown_by="tests/engine/test_adapter_gpt2.py",
    ),
    Page(
        code="PD619",
        name="no-such-device",
        summary="This machine has no such device, or it cannot be used.",
        why="Nothing could be run.",
        repair="Choose another: `--device cpu`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD620",
        name="no-memory-for-weights",
        summary="The weights do not fit into the memory of the device, or one layer of them does "
        "not fit into what `--memory` states.",
        why="Nothing could be run.",
        repair="State a `--memory` that holds a layer, and weights are read a layer at a time. Or "
        "use a narrower dtype, a smaller model or another device; `--device auto` spreads whole "
        "layers over all GPUs.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD621",
        name="accelerate-missing",
        summary="`--device auto` was asked for, and the package `accelerate` is not installed.",
        why="transformers places weights on several devices by way of it.",
        repair="Run `pip install 'pathdsl[auto]'`, or name one device: `--device cuda`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD622",
        name="untested-transformers",
        summary="The installed transformers is of a version that was not tested.",
        why="An adapter repeats how transformers puts a model together. The self-checks compare "
        "every model with its own forward pass before anything is judged, so this is a warning.",
        repair="Install a tested version, `pip install 'transformers>=5.20,<6'`.",
        shown_by="tests/engine/test_refusals.py",
    ),
)

MODEL_PAGES: tuple[Page, ...] = (*_NOT_FOUND, *_REFUSED)
