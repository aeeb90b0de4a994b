"""Names of files, defaults and sentences that verbs and options share."""

from __future__ import annotations

NET, RESULT, PICTURE = "network.net", "result.json", "accuracy.png"
TUNING, FRONT = "tuning.json", "front.png"
TUNED_STREAM, TUNED_FRAMES = "tuned-stream.json", 60  # frames of a clip that dials are tried on
PRECISION, BITS = "precision.json", "precision.png"
STREAM_NET, STREAM_ROWS, STREAM_SUMMARY = "stream.net", "frames.csv", "summary.json"
STREAM_STATE, STREAM_PICTURE, STREAM_PAGE = "state.npz", "stream.png", "stream.html"
STREAM_FILES = (STREAM_ROWS, STREAM_SUMMARY, STREAM_NET, STREAM_STATE, STREAM_PICTURE, STREAM_PAGE)
CALIBRATION_IMAGES, FIT_IMAGES, HELD_IMAGES, TEST_IMAGES, LAVA_IMAGES = 4000, 256, 512, 1000, 4
PAGE, COST_IMAGES, EXPLAINED_IMAGES, COUNTED_IMAGES = "report.html", 16, 64, 100
PASTED = 76  # columns of a command that is printed to be pasted
RUNTIME_IMAGES, RUNTIME_FRAMES = 4, 5  # whose spikes the bound on time is made of
ANN_IMAGES = 500  # to see whether images are prepared as the ANN wants them
TRIED_IMAGES = 256  # on which remedies are tried
VERIFY_FRAMES, COUNTED_FRAMES = 5, 60  # of a clip, where --limit does not say
REPLAYED_FRAMES = 3  # of them, the first, by another simulator
VERIFY_STEPS = 8  # at most, where --steps does not say
STUDY_IMAGES = 500  # for hundreds of networks
BITS_TRIED, TOLERANCE = (
    {"weight": "2-8", "payload": "1-8", "state": "16-24"},
    2.0,
)  # as bitwidths has them, told without importing torch
BLOCK = 100  # images that are read, simulated and kept together
DEMO, DEMO_LAVA_IMAGES = "demo", 50
NOT_EQUAL = "not equal: the rows above tell where; please report it with the .net and the command"
MODELS = (
    "path/to/file.py:factory (the file is run), package.module:factory, torchvision:NAME or path/to/file.onnx"
)
LAVA_PYTHON = (
    "another Python to run Lava in, or auto: the one that lava-env made (default: "
    "DNISNM_LAVA_PYTHON, else this one)"
)
WEIGHTS = (
    "its state_dict, loaded with weights_only=True; for torchvision also the name of weights, such as DEFAULT"
)
PREPARED_BY = ("mean", "std", "resize", "crop", "grayscale", "range")
