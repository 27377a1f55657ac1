"""Write docs/benchmark.md from what benchmarks/tables.sh leaves: python docs/reference/make_benchmark.py TABLES

The words above the tables are those of the page as it is now, up to the first line that begins with "## Phantoms at".
Pictures of real images, and of models that were trained on real images, stay out: only their tables and planes come in.
"""

import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "benchmark.md"
PARTS = {
    "phantoms-64": ("Phantoms at 64 cubed", ("plane.png",)),
    "phantoms-small": ("Phantoms at 32 cubed, small recipes", ("reals.png", "samples.png", "plane.png")),
    "brains-small": ("Real brains at 32 cubed, small recipes", ("plane.png",)),
}


def part(folder: Path, title: str, pictures: tuple[str, ...]) -> str:
    """A page of the benchmark as a part of ours."""
    text = (folder / "benchmark.md").read_text().removeprefix("# Benchmark")
    for name in re.findall(r"\]\((.*?\.png)\)", text):
        ours = f"images/benchmark-{folder.name}-{name}"
        if name in pictures:
            shutil.copyfile(folder / name, DOCS / ours)
            text = text.replace(f"]({name})", f"]({ours})")
        else:
            text = re.sub(rf"## [^\n]*\n\n!\[[^\n]*\]\({re.escape(name)}\)\n\n[^\n]*\n*", "", text)
    return f"## {title}\n" + text.replace("\n## ", "\n### ")


def main(tables: Path) -> None:
    """Replace the parts of the page, and keep the words above them."""
    words = PAGE.read_text().split("## Phantoms at")[0].rstrip()
    made = [part(tables / name, *told) for name, told in PARTS.items() if (tables / name / "benchmark.md").exists()]
    PAGE.write_text("\n\n".join([words, *(text.rstrip() for text in made)]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
