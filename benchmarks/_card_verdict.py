"""What the rows of `card.py` say: a table, the targets with pass or fail, and what to change."""

import math

TOLERANCES = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 1e-1}  # of a first loss, against the processor's
PLAN_TOLERANCE = 0.15  # of the planned memory
MOST_HALF_MEMORY = 0.75  # of float32's peak, in bfloat16
MOST_FEED_LOSS = 0.05  # of the pace, by the feed
LEAST_SPEED_UP = 1.8  # by a second card
LEAST_GAIN = 0.05  # for which a default is worth changing
# Steps a second with the feed on, at 256 cubed and batch 4, and ms a step at 1280 x 1024 and batch 4.
CARDS = {
    "H100": {"hagan": 15, "hagan-2022": 6, "pggan-mammogram": 170},
    "4090": {"hagan": 6, "hagan-2022": 2.5, "pggan-mammogram": 700},
}


def describe_way(row):
    """The settings of a row in words."""
    way = row["way"]
    words = [] if row["kind"] in ("step", *way) else [row["kind"]]  # a way that names its kind says it once
    words += [way["precision"]] if "precision" in way else []
    words += [f"{key} {value}" for key, value in way.items() if value is not True and key != "precision"]
    return " ".join(words + [key for key, value in way.items() if value is True])


def format_table(rows):
    """Markdown for docs/performance.md."""
    lines = [
        "| recipe | size | images | way | device | ms a step | images/s | allocated | on the card | planned, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size = "tiny" if row["tiny"] else row["shape"]
        cells = [row["recipe"], size, row["batch"], describe_way(row), row["device"]]
        if "error" in row:
            cells += [row["error"].replace("|", "/"), "", "", "", ""]
        elif "same_bits" in row:
            cells += ["the same bits" if row["same_bits"] else "other bits", "", "", "", ""]
        else:
            step = f"{1e3 * row['step_s']:.1f}" if "step_s" in row else ""
            memory = [f"{row[k]:.0f}" if k in row else "" for k in ("allocated_mib", "on_card_mib", "planned_mib")]
            cells += [step, f"{row['images_per_s']:.3g}", *memory]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def find(rows, recipe, kind="step", tiny=False, **way):
    """The row of a recipe computed in exactly this way, if it came to an end."""
    wanted = (recipe, kind, tiny, way)
    fine = (r for r in rows if "error" not in r and r["device"] != "cpu")
    return next((r for r in fine if (r["recipe"], r["kind"], r["tiny"], r["way"]) == wanted), None)


def judge(rows):
    """The targets: (what is asked, what was found, True or False or None = not measured)."""
    card = next((row["card"] for row in rows if "card" in row), "")
    errors = [r for r in rows if "error" in r and "memory" not in r["error"]]
    told = "; ".join(f"{r['recipe']} {describe_way(r)}: {r['error']}" for r in errors) or "none"
    found = [("no row fails but for a full card", told, not errors)]
    found += [_judge_losses(rows), _judge_plan(rows), _judge_half(rows)]
    for name, goals in CARDS.items():
        if name in card:
            found += _judge_pace(rows, name, goals)
    if not any(name in card for name in CARDS):
        found.append((f"pace: there are targets for {' and '.join(CARDS)}", card or "no card", None))
    found += [_judge_feed(rows), _judge_resume(rows), _judge_processes(rows)]
    return found


def _judge_losses(rows):
    asked = "first losses as the processor's: " + ", ".join(f"{k} {v:g}" for k, v in TOLERANCES.items())
    plain = {r["recipe"]: r for r in rows if r["device"] == "cpu" and r["tiny"] and "losses" in r}
    worst = (0.0, "all within")
    for row in rows:
        if row["device"] == "cpu" or not row["tiny"] or "losses" not in row or row["recipe"] not in plain:
            continue
        for key, value in plain[row["recipe"]]["losses"].items():
            off = abs(value - row["losses"][key]) / max(1.0, abs(value)) / TOLERANCES[row["way"]["precision"]]
            worst = max(worst, (off, f"{row['recipe']} {describe_way(row)} {key}: {off:.2g} of the tolerance"))
    compared = any(r["device"] != "cpu" and r["tiny"] and "losses" in r for r in rows)
    return asked, worst[1], worst[0] <= 1 if compared else None


def _judge_plan(rows):
    pairs = [(r["planned_mib"] / r["on_card_mib"] - 1, r) for r in rows if "on_card_mib" in r and not r["tiny"]]
    asked = f"planned memory within {PLAN_TOLERANCE:.0%} of that on the card"
    if not pairs:
        return asked, "", None
    off, row = max(pairs, key=lambda pair: abs(pair[0]))
    return asked, f"at most {off:+.1%} ({row['recipe']} {describe_way(row)})", abs(off) <= PLAN_TOLERANCE


def _judge_half(rows):
    asked, shares = f"bfloat16 needs at most {MOST_HALF_MEMORY:g} of float32's peak", {}
    for name in {r["recipe"] for r in rows}:
        pair = [find(rows, name, precision=p) for p in ("float32", "bfloat16")]
        if all(row is not None and "allocated_mib" in row for row in pair):
            shares[name] = pair[1]["allocated_mib"] / pair[0]["allocated_mib"]
    told = ", ".join(f"{name} {share:.2f}" for name, share in sorted(shares.items()))
    return asked, told, max(shares.values()) <= MOST_HALF_MEMORY if shares else None


def _judge_pace(rows, card, goals):
    for name in ("hagan", "hagan-2022"):
        fed = [r for r in rows if r["kind"] == "feed" and r["recipe"] == name and "step_s" in r and not r["tiny"]]
        pace = max((1 / row["step_s"] for row in fed), default=None)
        told = "" if pace is None else f"{pace:.3g}"
        passed = None if pace is None else pace >= goals[name]
        yield f"{name} at 256 cubed with the feed on: {goals[name]} steps/s on {card}", told, passed
    name = "pggan-mammogram"
    fast = [
        r["step_s"] for r in rows if r["recipe"] == name and r["kind"] == "step" and not r["tiny"] and "step_s" in r
    ]
    told = f"{1e3 * min(fast):.0f} ms" if fast else ""
    passed = 1e3 * min(fast) <= goals[name] if fast else None
    yield f"{name} at 1280 x 1024: at most {goals[name]} ms a step on {card}", told, passed


def _judge_feed(rows):
    asked, losses = f"the feed costs at most {MOST_FEED_LOSS:.0%} of the pace", {}
    for row in rows:
        if row["kind"] == "feed" and "step_s" in row and row["device"] != "cpu":
            way = {key: value for key, value in row["way"].items() if key != "feed"}
            bare = next((r for r in rows if r["kind"] == "step" and "step_s" in r and _is_pair(r, row, way)), None)
            if bare is not None:
                losses[row["recipe"]] = row["step_s"] / bare["step_s"] - 1
    told = ", ".join(f"{name} {loss:+.1%}" for name, loss in losses.items())
    return asked, told, max(losses.values()) <= MOST_FEED_LOSS if losses else None


def _is_pair(one, other, way):
    return all(one[key] == other[key] for key in ("recipe", "tiny", "device", "batch")) and one["way"] == way


def _judge_resume(rows):
    told = {row["recipe"]: row["same_bits"] for row in rows if "same_bits" in row}
    words = ", ".join(f"{name} {'yes' if same else 'no'}" for name, same in told.items())
    return "a resumed training has the same bits under --deterministic", words, all(told.values()) if told else None


def _judge_processes(rows):
    paces = {r["way"]["processes"]: r["images_per_s"] for r in rows if r["kind"] == "processes" and "images_per_s" in r}
    asked = f"two cards are at least {LEAST_SPEED_UP} times one"
    if not {1, 2} <= set(paces) or any(r["device"] == "cpu" for r in rows if r["kind"] == "processes"):
        return asked, "", None
    return asked, f"{paces[2] / paces[1]:.2f}", paces[2] >= LEAST_SPEED_UP * paces[1]


def format_targets(targets):
    """Markdown: what was asked and found."""
    words = {True: "pass", False: "**fail**", None: "not measured"}
    return "\n".join(["| target | found | |", "|---|---|---|", *(f"| {a} | {b} | {words[c]} |" for a, b, c in targets)])


def advise(rows, base):
    """What to change, a sentence each: settings that are faster than the default way, by recipe."""
    for name in dict.fromkeys(row["recipe"] for row in rows):
        plain = find(rows, name, **base)
        if plain is None:
            continue
        mine = [r for r in rows if r["recipe"] == name and r["kind"] == "step" and not r["tiny"] and "step_s" in r]
        for row in sorted((r for r in mine if r["device"] == plain["device"]), key=lambda r: r["step_s"]):
            gain = plain["step_s"] / row["step_s"] - 1
            if gain > LEAST_GAIN and row["way"].get("precision") == base["precision"]:
                yield (
                    f"{name}: {describe_way(row)} is {gain:.0%} faster than {describe_way(plain)}; make it the"
                    " default of this device in training/computing.py (get_default_settings)"
                )
    pairs = [r["on_card_mib"] / r["planned_mib"] for r in rows if "on_card_mib" in r and not r["tiny"]]
    if pairs and max(max(pairs), 1 / min(pairs)) > 1 + PLAN_TOLERANCE:
        mean = math.exp(sum(map(math.log, pairs)) / len(pairs))
        yield f"measured over planned memory is {mean:.2f} on average; fit DEVICE_OVERHEADS in memory_estimate.py"
    for row in rows:
        if row["kind"] == "feed" and row.get("upsampling"):
            ways = ", ".join(f"{layer} {way}" for layer, way in row["upsampling"].items())
            yield f"{row['recipe']}: auto chose {ways}"
