"""What a type checker has to find in a user's script; the test names the lines."""

import ganatomy

model: ganatomy.Model = ganatomy.open("RUN")
model.sample("8")
ganatomy.sampel("RUN")
ganatomy.prepare("raw", out="store")
ganatomy.train("hagan", "store", precision="half")
spacing: float = model.sample(1)[0].spacing
