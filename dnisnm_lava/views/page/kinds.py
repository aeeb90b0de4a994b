"""What the page says in other words of another kind of answer: classes, masks, values, values without
targets."""

from __future__ import annotations

from dataclasses import dataclass

from dnisnm_lava.studies.overview import Gathered


@dataclass(frozen=True)
class Words:
    """paired: how the interval of what is lost is made. accuracy: what stands in the place of accuracy, where
    that is something else. equal: what Lava gives. shown: the heading above the images that part."""

    paired: str
    accuracy: str
    equal: str
    shown: str


def words(found: Gathered) -> Words:
    measure = found.comparison.measure
    if measure.is_share and not measure.is_mask:
        single = measure.answers == 1
        how = "Newcombe's method 10" if single else "of the mean of the images' differences"
        shown = "Those of which the ANN is surest" if single else "Those with most answers apart"
        return Words(f"{ALONE} Interval: {how}; p: McNemar's exact test.", "", "logit", shown)
    if measure.is_mask:
        return Words(
            f"{INFLUENCE} p: the sign test, by the images' right pixels.",
            "In the place of accuracy stands the mean intersection over union: of each class that is there, "
            "over all images' pixels. A point is 0.01 of it. Its interval is the delta method's, over "
            "images.",
            "logit",
            "Those with most pixels apart",
        )
    if measure.labels:
        return Words(
            f"{INFLUENCE} p: the sign test, by which of the two errs less.",
            "In the place of accuracy stands the RMSE against the targets, in the output's unit. What is "
            "lost is told of R2, the explained share of the targets' variance; a point is 0.01 of it.",
            "value",
            "Those farthest from the ANN's values",
        )
    return Words(
        "The ANN's own values are what is wanted, so that it has no error of its own. Interval: normal, of "
        "the images' mean squared errors.",
        "No targets tell what is right: in the place of accuracy stands the distance from the ANN's own "
        "values, RMSE by their standard deviation. 10 % of it is a point of R2.",
        "value",
        "Those farthest from the ANN's values",
    )


ALONE = "The images are the same for both: only those on which one alone is right tell the difference."
INFLUENCE = "The images are the same for both. Interval: normal, of what each adds to the difference."
