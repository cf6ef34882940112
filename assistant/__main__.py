"""`python -m assistant`: ask."""

import sys
from collections.abc import Sequence
from typing import Any

from assistant.modes import Answer, AnswerFinished, AnswerMode, TextDelta
from assistant.profiles import fitted
from assistant.prompts import heading
from assistant.reader import READ_BY
from assistant.service import Question, open_assistant
from core.cli import Call, CommandLine, Report
from core.errors import EngineError, Stopped
from core.permissions import OPERATOR
from retrieval.service import open_retrieval


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    line = CommandLine("python -m assistant", "Ask the assistant.")
    ask = line.add("ask", _ask, "Answer one question.")
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument(
        "--mode",
        type=AnswerMode,
        choices=list(AnswerMode),
        default=AnswerMode.RAG,
        metavar="MODE",
        help="base, rag, tuned or tuned_rag (default: rag)",
    )
    ask.add_argument(
        "--adapter", metavar="NAME", help="for tuned modes (default: the promoted adapter)"
    )
    return line.run(argv)


def _ask(call: Call) -> Report:
    home = fitted(call.home)
    assistant = open_assistant(home, open_retrieval(home))
    question = Question(
        text=call.arguments.question,
        mode=call.arguments.mode,
        adapter=call.arguments.adapter,
        reader=OPERATOR,
    )
    answer: Answer | None = None
    shown = ""
    for event in assistant.answer(question, call.progress.stop_requested):
        if isinstance(event, TextDelta) and not call.json:
            shown += event.text
            sys.stdout.write(event.text)
            sys.stdout.flush()
        elif isinstance(event, AnswerFinished):
            answer = event.answer
    if answer is None:
        raise EngineError("The model ended without an answer. Try again; the log may say why.")
    if call.progress.stop_requested() and not answer.text:
        raise Stopped("Stopped before the first word.")
    return Report(as_json(answer), _below(answer, shown))


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer in the shape that programs rely on."""
    timing = answer.timing
    return {
        "text": answer.text,
        "mode": answer.mode.value,
        "adapter": answer.adapter,
        "passages": [
            {
                "document": passage.document,
                "location": passage.location,
                "score": round(passage.score, 4),
                "text": passage.text,
            }
            for passage in answer.passages
        ],
        "cited": list(answer.cited),
        "timing": {
            "search_s": round(timing.search_s, 4),
            "first_token_s": round(timing.first_token_s, 4),
            "total_s": round(timing.total_s, 4),
            "prompt_tokens": timing.prompt_tokens,
            "answer_tokens": timing.answer_tokens,
        },
    }


def _below(answer: Answer, shown: str) -> str:
    """What follows the streamed text: its checked form where that differs, then sources."""
    lines = [""]
    if answer.text != shown.strip():
        lines.append(f"\nWith checked citations: {answer.text}")
    if said := READ_BY.get(str(answer.provenance.get("reader"))):
        lines.append(f"\n({said})")
    if answer.cut_off:
        lines.append("(cut off)")
    if answer.passages:
        lines.append("\nSources (* cited):")
    for number, passage in enumerate(answer.passages, start=1):
        mark = "*" if number in answer.cited else " "
        lines.append(f"{mark}[{number}] {passage.document}: {heading(passage)}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
