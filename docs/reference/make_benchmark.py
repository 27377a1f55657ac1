"""Write docs/benchmark.md from the output of benchmarks/tables.sh: python docs/reference/make_benchmark.py TABLES

The text above the tables is kept; it ends at the first line that begins with "## Phantoms at". Real images, and samples of
models that were trained on real images, are not copied: of these benchmarks the page shows only the tables and the planes.
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
    """Turn the page of one benchmark into a section with this title, and copy the pictures that are named."""
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
    """Replace the sections of the page and keep the text above them."""
    words = PAGE.read_text().split("## Phantoms at")[0].rstrip()
    made = [part(tables / name, *told) for name, told in PARTS.items() if (tables / name / "benchmark.md").exists()]
    PAGE.write_text("\n\n".join([words, *(text.rstrip() for text in made)]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
