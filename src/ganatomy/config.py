"""The base of every setting: a frozen value that refuses unknown fields."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A plain frozen value: compared with ``==``, written to JSON and read back, never running code when read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
