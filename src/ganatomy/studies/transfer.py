"""Translation of images between domains: images are encoded with their own facts and decoded with those of the target.

Two things are measured: what was preserved (the measures of the modality before and after, and the structural
similarity), and what changed (how often a classifier of the domain, trained on the training images, assigns the target
domain). Both are also reported for the reconstruction, decoded with the original facts, so that changes by the
autoencoder are not counted as transfer.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ganatomy.checkpoint import Snapshot
from ganatomy.data.cases import Cases
from ganatomy.data.store import Store
from ganatomy.data.tables import write_table
from ganatomy.encoding import Autoencoder, Pixels, compute_ssim, read_original, select_cases
from ganatomy.errors import Refused
from ganatomy.evaluation.extractors.random_resnet import RandomResNet
from ganatomy.evaluation.feature_cache import FeatureCache
from ganatomy.evaluation.images.sets import select_real_images
from ganatomy.imaging import pictures
from ganatomy.imaging.caption import add_caption
from ganatomy.imaging.derived import write_derived_image
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import mark_side_by_side
from ganatomy.machine import progress
from ganatomy.machine.durable import new_folder, write_json
from ganatomy.machine.progress import format_name
from ganatomy.modalities import table as modalities
from ganatomy.modalities.modality import Modality

SHOWN_CASES = 6  # in the picture
FORMS = ("original", "reconstructed", "transferred")


def transfer_images(
    snapshot: Snapshot,
    store: Store,
    to: Mapping[str, str],
    out: Path,
    split: str = "test",
    n: int | None = None,
    like: Store | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Write the transferred images, a table of measures, a picture and ``transfer.json``.

    Images that already have the target facts are left out. A transferred image shows a real patient and is not a
    synthetic case; its file says so, and it cannot be exported as one.

    Args:
        snapshot: opened with all its networks, and conditioned on the facts.
        store: the images to transfer.
        to: the target facts.
        out: a new folder.
        like: a store of the target domain for the classifier, if `store` has only one domain.

    Returns:
        The content of ``transfer.json``.

    Raises:
        Refused: no encoder, facts that the model does not know, nothing to transfer, or `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder.")
    cases = [case for case in _find_cases(snapshot, store, to, split) if to.items() - case["facts"].items()][:n]
    if not cases:
        raise Refused(f"All images of the split {split} in {store.path} already have the target facts.")
    kind = modalities.get_modality(store.manifest.modality)()
    coder = Autoencoder(snapshot, device)
    extractor = RandomResNet(len(snapshot.recipe.shape))
    sides = [select_real_images(one, "train", snapshot.recipe.shape) for one in (store, like) if one]
    known = np.concatenate([FeatureCache().get_features(extractor, side, "training images") for side in sides])
    told = {name: _fit_fact_classifier(name, known, [facts for side in sides for facts in side.facts()]) for name in to}
    rows, shown = [], []
    features: dict[str, list[NDArray[np.float32]]] = {form: [] for form in FORMS}
    with new_folder(out) as folder, progress.bar("transferring", len(cases)) as bar:
        for number, case in enumerate(cases):
            forms = _make_forms(snapshot, store, case, to, coder)
            rows.append(_measure_forms(kind, case, forms))
            for form, pixels in forms.items():
                features[form].append(extractor([pixels])[0])
                if number < SHOWN_CASES:
                    shown.append(kind.render_image(kind.denormalise(Image(pixels, None, case["facts"]))))
            facts = {**case["facts"], **to}
            made = Image(forms["transferred"], case["spacing"] and tuple(case["spacing"]), facts)
            record = {"transferred_by": snapshot.digest, "row": case["row"], **to}
            write_derived_image(folder / f"{number:06d}", kind.denormalise(made), record, store.shows_patients)
            bar.advance()
        content = {
            "snapshot_sha256": snapshot.digest,
            "to": dict(to),
            "images": len(cases),
            "kept": _compare_measures(rows),
            "told_to_be_the_target": {
                name: {form: _share(model, np.stack(features[form]), to[name]) for form in FORMS}
                for name, model in told.items()
            },
        }
        write_table(rows, folder / "measures.csv")
        sheet = add_caption(pictures.make_grid(shown, len(FORMS)), store.shows_patients)
        mark = mark_side_by_side({"transferred_by": snapshot.digest, **to}, store.shows_patients)
        pictures.save_png(sheet, folder / "transfer.png", mark)
        write_json(folder / "transfer.json", content)
    return content


def _find_cases(snapshot: Snapshot, store: Store, to: Mapping[str, str], split: str) -> Cases:
    known = snapshot.recipe.conditions
    for name, value in to.items():
        if name in snapshot.recipe.numbers:
            raise Refused(
                f"--to {name}={value}: {name} is a number, and images are transferred between classes only; the classes"
                f" of the model are {', '.join(known) or 'none'}."
            )
        if name not in known:
            has = ", ".join(known) or "none"
            raise Refused(f"--to {name}={value}: the model is not conditioned on {name}; its conditions are {has}.")
        if value not in known[name]:
            raise Refused(f"--to {name}={value}: the model accepts {', '.join(known[name])}.")
    return select_cases(snapshot, store, split, None)


def _make_forms(
    snapshot: Snapshot, store: Store, case: dict[str, Any], to: Mapping[str, str], autoencoder: Autoencoder
) -> dict[str, Pixels]:
    original = read_original(store, case, snapshot)
    z = autoencoder.encode(original, case["facts"])
    again, other = (np.clip(autoencoder.decode(z, facts), -1, 1) for facts in (case["facts"], {**case["facts"], **to}))
    return dict(zip(FORMS, (original, again, other), strict=True))


def _measure_forms(modality: Modality, case: dict[str, Any], forms: dict[str, Pixels]) -> dict[str, Any]:
    row: dict[str, Any] = {"file": format_name(case["file"]), "patient": case["patient"]}
    row |= {f"ssim {form}": compute_ssim(forms["original"], forms[form]) for form in FORMS[1:]}
    for form, pixels in forms.items():
        spacing = case["spacing"] and tuple(case["spacing"])
        measures = modality.measure_image(modality.denormalise(Image(pixels, spacing, case["facts"])))
        row |= {f"{name} {form}": value for name, value in measures.items()}
    return row


def _compare_measures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute the mean similarity and each measure's correlation and mean change, for both forms of images."""
    found: dict[str, Any] = {}
    names = [key.removesuffix(" original") for key in rows[0] if key.endswith(" original")]
    for form in FORMS[1:]:
        found[form] = {"ssim": round(float(np.mean([row[f"ssim {form}"] for row in rows])), 4)}
        for name in names:
            pairs = np.array([[row[f"{name} original"], row[f"{name} {form}"]] for row in rows], dtype=np.float64)
            found[form][name] = _compare_pairs(pairs[np.isfinite(pairs).all(1)], len(pairs))
    return found


def _compare_pairs(pairs: NDArray[np.float64], n: int) -> dict[str, float | int | None]:
    varies = len(pairs) > 2 and all(np.ptp(column) > 0 for column in pairs.T)
    return {
        "correlation": round(float(np.corrcoef(*pairs.T)[0][1]), 4) if varies else None,
        "mean_before": round(float(pairs[:, 0].mean()), 4) if len(pairs) else None,
        "mean_after": round(float(pairs[:, 1].mean()), 4) if len(pairs) else None,
        "images_that_show_it": len(pairs),
        "of": n,
    }


def _fit_fact_classifier(name: str, rows: NDArray[np.float32], facts: list[dict[str, str]]) -> Pipeline:
    """Train a classifier of a fact on the features of training images."""
    values = [one[name] for one in facts]
    if len(set(values)) < 2:
        raise Refused(
            f"All training images have {name}={values[0]}; give images of the other domain with --like STORE."
        )
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(rows, values)


def _share(model: Pipeline, rows: NDArray[np.float32], value: str) -> float:
    return round(float((model.predict(rows) == value).mean()), 4)
