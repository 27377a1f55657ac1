"""The table of suspects, which are samples that may be copies of training images."""

import csv
from pathlib import Path
from typing import Any

from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.machine.durable import new_file

SUSPECTS_FILE = "suspects.csv"
COLUMNS = ("sample", "seed", "index", "training_row", "training_patient", "ratio", "distance", "space")
RATIO_TEST = "nearer than any held-out image, by ratio"  # the test that suspects fail


def write_suspects(path: Path, comparison: Comparison, privacy: dict[str, Any]) -> None:
    """Write one row per suspect and space: the sample, the nearest training case, and the distance.

    Training cases are identified by their row in the store and the patient's pseudonym.
    """
    with new_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for space in privacy["spaces"]:
            for pair in space["suspects"]["images"]:
                record = comparison.fakes.records[pair["synthetic"]]
                case = comparison.train.cases[pair["training"]]
                table.writerow(
                    [
                        record.get("file", ""),
                        record.get("seed", ""),
                        record.get("index", ""),
                        case["row"],
                        case["patient"],
                        pair["ratio"],
                        pair["distance"],
                        space["space"],
                    ]
                )


def list_suspect_files(comparison: Comparison, privacy: dict[str, Any]) -> list[str]:
    """List the file names of suspects, in the order of the samples."""
    places = {pair["synthetic"] for space in privacy["spaces"] for pair in space["suspects"]["images"]}
    return [str(comparison.fakes.records[place]["file"]) for place in sorted(places)]


def passes_without_suspects(privacy: dict[str, Any]) -> bool:
    """Whether the set would pass without its suspects: only the test of ratios fails, not the tests of averages."""
    return all(RATIO_TEST in words for words in privacy["failed_tests"])
