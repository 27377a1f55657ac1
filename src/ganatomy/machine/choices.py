"""Names that options accept, as types, so that type checkers, help texts and shell completion know them."""

from typing import Literal

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
StudyTaskName = Literal["classification", "segmentation"]
UpSampling = Literal["usual", "fold", "phases", "plain", "auto"]
