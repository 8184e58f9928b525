"""A process of its own that makes prompts of messages with the chat template of a model.

A template is a program in Jinja's language that came with the model's files. It runs here, and here
alone: in Jinja's sandbox for texts of strangers, which reaches no attribute that begins with `_`
and changes nothing that it is given, without a loader, chance or clock, in a process that ends at a
limit of time, memory and output. Nothing of pathdsl is imported: `pathdsl.engine.data.chat` runs
the file as a script, writes JSON lines to it, the first with the template and what it may write,
the others with a list of messages each, and reads a line for each of those, `{"prompt": …}` or
`{"fault": …}`.

Source: what transformers passes to templates (`apply_chat_template`), so that texts are the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["render_all"]

_TAG = "CONTINUE_FINAL_MESSAGE_TAG "
_OLDEST = (3, 1, 6)  # of Jinja; older sandboxes have known holes


class _Generation(jinja2.ext.Extension):
    """`{% generation %} … {% endgeneration %}` is what stands in it: it marks text for training."""

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Any) -> jinja2.nodes.Node:
        """The block as a call of what stands in it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Callable[[], str]) -> str:
        return caller()


class _Namespace(jinja2.utils.Namespace):
    """A namespace without names that begin with `_`."""

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise jinja2.exceptions.SecurityError(f"the name `{name}` is not for templates")
        super().__setitem__(name, value)


def _namespace(*given: Any, **named: Any) -> _Namespace:
    made = _Namespace()
    for name, value in dict(*given, **named).items():
        made[name] = value
    return made


def _refuse(message: object) -> None:
    raise jinja2.exceptions.TemplateError(str(message))


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None,
    separators: Any = None, sort_keys: bool = False,
) -> str:  # fmt: skip
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _compiled(template: str, date: str) -> jinja2.Template:
    """The template, whose clock stands at `date` (ISO)."""
    from datetime import datetime

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _tojson
    for table, name in ((made.globals, "lipsum"), (made.filters, "random")):
        del table[name]  # they draw by chance
    made.globals["dict"] = lambda *given, **named: dict(*given, **named)
    made.globals["namespace"] = _namespace
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.fromisoformat(date).strftime(str(form))
    return made.from_string(template)


def _render(
    template: jinja2.Template, messages: list[dict[str, str]], tokens: dict[str, Any], most: int
) -> str:
    """The prompt: with the head of an answer behind it, or where one is begun, up to its end."""
    last = messages[-1]
    begun = last["role"] == "assistant"
    if begun:
        messages = [*messages[:-1], {**last, "content": last["content"] + _TAG}]
    parts: list[str] = []
    length = 0
    for part in template.generate(
        **tokens, messages=messages, tools=None, documents=None, add_generation_prompt=not begun
    ):
        parts.append(part)
        length += len(part)
        if length > most:
            raise ValueError(f"it makes more than {most:,} characters of one prompt")
    text = "".join(parts)
    if not begun:
        return text
    if _TAG.strip() not in text or last["content"].strip() not in text:
        raise ValueError("it does not keep the begun answer as it is written")
    end = text.rindex(_TAG.strip())
    # A template that strips what messages say has stripped the blank at the end of the tag.
    return text[:end] if text[end : end + len(_TAG)] == _TAG else text[:end].rstrip()


def render_all(lines: Iterable[str]) -> Iterator[str]:
    """The answers to the lines of a request, one for each list of messages."""
    given = iter(lines)
    asked = json.loads(next(given))
    fault = ""
    template = None
    try:
        version = tuple(int(part) for part in jinja2.__version__.split(".")[:3])
        if version < _OLDEST:
            fault = f"jinja2 {jinja2.__version__} is too old to run templates of strangers"
        else:
            template = _compiled(asked["template"], asked["date"])
    except Exception as error:  # whatever a template makes Jinja's compiler raise
        fault = _said(error)
    for line in given:
        answer = {"fault": fault}
        if template is not None:
            try:
                text = _render(template, json.loads(line), asked["tokens"], asked["characters"])
                answer = {"prompt": text}
            except MemoryError:
                answer = {"fault": "it takes more memory than it is given"}
            except Exception as error:  # a template may do anything wrong
                answer = {"fault": _said(error)}
        yield json.dumps(answer)


def _said(error: Exception) -> str:
    return f"{error}".strip().partition("\n")[0].removesuffix(".") or type(error).__name__


def _limit(bytes_: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows: the time alone is limited, by who waits
        return
    for kind, most in ((resource.RLIMIT_AS, bytes_), (resource.RLIMIT_CPU, seconds)):
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY or most <= hard:
            try:
                resource.setrlimit(kind, (most, hard))
            except (OSError, ValueError):
                pass  # some systems do not limit memory


if __name__ == "__main__":
    _limit(int(sys.argv[1]), int(sys.argv[2]))
    for one in render_all(sys.stdin):
        print(one)
