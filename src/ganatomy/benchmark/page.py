"""The page of a benchmark, as HTML and Markdown: measured tables and figures beside those of the paper."""

import html
from pathlib import Path
from typing import Any

from ganatomy.benchmark import figures, tables
from ganatomy.benchmark.plan import BenchmarkPlan
from ganatomy.benchmark.tables import Table
from ganatomy.evaluation.report.page import STYLE
from ganatomy.machine.durable import write_text

HTML_FILE, MARKDOWN_FILE = "benchmark.html", "benchmark.md"


def write_page(
    plan: BenchmarkPlan,
    out: Path,
    rows: list[dict[str, Any]],
    speed: dict[str, Any],
    command: str,
    card_gib: float | None,
) -> Path:
    """Write the page as HTML and Markdown; returns the HTML file, which needs only the pictures beside it."""
    parts: list[Table] = tables.make_tables(plan, rows, speed, card_gib)
    pictures = figures.draw_figures(plan, out, rows)
    intro = tables.make_intro(plan, rows, speed, command)
    write_text(out / MARKDOWN_FILE, _markdown(intro, parts, pictures))
    write_text(out / HTML_FILE, _html(intro, parts, pictures))
    return out / HTML_FILE


def _markdown(intro: list[str], parts: list[Table], pictures: dict[str, tuple[str, str]]) -> str:
    lines = ["# Benchmark", "", *(line for text in intro for line in (text, ""))]
    for part in parts:
        lines += [f"## {part.title}", "", "| " + " | ".join(part.heads) + " |", "|" + "---|" * len(part.heads)]
        lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in part.rows]
        lines += ["", part.caption, ""]
    for name, (title, words) in pictures.items():
        lines += [f"## {title}", "", f"![{title}]({name})", "", words, ""]
    return "\n".join(line.replace("<", "&lt;") for line in lines).rstrip() + "\n"


def _html(intro: list[str], parts: list[Table], pictures: dict[str, tuple[str, str]]) -> str:
    body = ["<h1>Benchmark</h1>", *(f"<p>{html.escape(text)}</p>" for text in intro)]
    for part in parts:
        heads = "".join(f"<th>{html.escape(head)}</th>" for head in part.heads)
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in part.rows
        )
        body += [
            f"<h2>{html.escape(part.title)}</h2><table><tr>{heads}</tr>{cells}</table>",
            f"<p><small>{html.escape(part.caption)}</small></p>",
        ]
    for name, (title, words) in pictures.items():
        body.append(
            f'<h2>{html.escape(title)}</h2><figure><img src="{html.escape(name)}" alt="{html.escape(title)}">'
            f"<figcaption>{html.escape(words)}</figcaption></figure>"
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>ganatomy benchmark</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>\n{chr(10).join(body)}\n</body></html>\n"
    )
