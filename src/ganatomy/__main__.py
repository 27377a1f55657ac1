"""Entry point of ``python -m ganatomy`` and of the command ``ganatomy``."""

import sys

from ganatomy.cli import main


def run() -> None:
    sys.exit(main())


if __name__ == "__main__":
    run()
