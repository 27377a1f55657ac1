"""The page of a benchmark, as HTML and Markdown: measured tables and figures beside those of the paper."""

from pathlib import Path
from typing import Any

from ganatomy.benchmark import figures, tables
from ganatomy.benchmark.plan import BenchmarkPlan
from ganatomy.machine.durable import write_text
from ganatomy.machine.templates import render_template

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
    values = {
        "intro": tables.make_intro(plan, rows, speed, command),
        "parts": tables.make_tables(plan, rows, speed, card_gib),
        "pictures": figures.draw_figures(plan, out, rows),
    }
    write_text(out / MARKDOWN_FILE, render_template("benchmark.md", **values).rstrip() + "\n")
    write_text(out / HTML_FILE, render_template("benchmark.html", **values))
    return out / HTML_FILE
