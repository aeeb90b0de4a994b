"""What `--help` says beyond the options: of each verb more than a line, and examples."""

from __future__ import annotations

EXIT_CODES = """exit codes:
  0    done
  1    an error, told in one sentence; an equality or a design rule that does
       not hold; a target that was missed
  2    a command line that was not understood
  130  interrupted (Ctrl-C); 143: ended by SIGTERM; 141: nobody reads the output
"""

ALL = f"""Results go to standard output, progress, notices and errors to standard error.

examples:
  dnisnm demo
  dnisnm inspect torchvision:resnet18
  dnisnm compare --model net.py:net --weights net.pt --data images/ --out result

environment:
  DNISNM_LAVA_PYTHON         another Python to run Lava in, as --lava-python
  NO_COLOR                   no colours (TERM=dumb: no bars either)
  COLUMNS                    width of tables where the output is no terminal (120)
  RANK, WORLD_SIZE, ...      set by torchrun: processes share the images

{EXIT_CODES}
`dnisnm VERB --help` tells what a verb is asked first, `--help-all` every option.
`dnisnm completion bash` prints a script that completes all of this in a shell.
"""

ABOUT: dict[str, str] = {
    "demo": "Trains a small CNN on scikit-learn's digits, and goes all the way with it. The\n"
    "folder receives network.net, result.json and accuracy.png.",
    "convert": "Calibrates on training images, converts, quantizes, and writes the integer\n"
    "network. The file is all that simulate, verify, check and lava-dl need, and remembers\n"
    "model, data and preparation for the verbs on a file (docs/cli.md). Without --data, and\n"
    "with --threshold gauss or max, batch norm's statistics take the place of images.",
    "inspect": "Of a model: a row for each operation, with what it becomes, or why it is\n"
    "refused. Of a file: its populations, weights and bits.",
    "check": "A verdict, and how much of each limit is taken; every rule that does not hold is told with\n"
    "its remedy, and makes exit code 1. Where the network does not fit, cheaper ones are tried.\n"
    "Widths rest on published limits, cores on an estimate, time on spikes of test images and on\n"
    "rates with their sources (docs/energy.md); nothing was tried on a chip.",
    "simulate": "Accuracy after T = 1, 2, 4, ... steps, spikes and saturations. `batched` is the\n"
    "fast executor, `reference` the specification, `lava` the simulator; all agree.",
    "verify": "Integer reference, integer batched and Lava fixed_pt must send the same spikes,\n"
    "every one of them, on the first 4 images; of more images, the read-outs. --steps says\n"
    "over how many steps (default: the network's, 8 at most); of a model, it is its T too.\n"
    "With --target sanafe, a network of binary spikes runs in that simulator instead. With frames\n"
    "(--video, --frames or --events), a stream's network: every spike of each, in torch too.",
    "compare": "Converts a model, measures ANN, float SNN, integer SNN and Lava on test images,\n"
    "and verifies the equalities. With --out it keeps network, result and picture. --recipe several\n"
    "times, and --at, compare several networks, and draw them in one figure.",
    "plot": "Curves over T, latency, spikes or energy, the ANN as a line. Intervals are of the difference\n"
    "from the ANN, paired image by image (docs/cli.md).",
    "predict": "Takes a folder of pictures, or arrays without labels, prepared as the file remembers.\n"
    "Names of classes are those of the data that the file was made with, where that had some.",
    "costs": "Spikes, operations and updates are counted on test images, one by one. Energies are\n"
    "estimated from them: by the paper's rule, of a quantized ANN, of a chip (docs/energy.md).\n"
    "Time is a bound, by a published model; --replay sanafe asks another simulator. With frames\n"
    "(--video, --frames or --events), a stream's network, and what a frame takes.",
    "export": "What each kind of file carries, what it loses and how it is run stands in docs/targets.md.\n"
    "All integers are carried by .onnx, .pt2 and .c; .nir is refused where it would lose something.",
    "stream": "Of a netx file, of images or a stream's own, or of a model. A stream follows each frame,\n"
    "and beside it by the integers of that frame alone and by the ANN; --no-compare leaves those\n"
    "out. With --out, frames are kept as they are done, and --resume goes on (docs/streams.md).",
    "tune": "Varies T, levels, leads, thresholds, corrections and rounding on training images that\n"
    "are not fitted on. The result serves as --recipe; the next command is printed. With --out,\n"
    "each trial is kept as it finishes, and --resume goes on. With --stream, the dials of a stream:\n"
    "which have the fewest operations where the ANN is still met, frame by frame (docs/streams.md).",
    "precision": "Each combination of bits on the whole network, then each population alone. With --out,\n"
    "each is kept as it finishes, and --resume goes on.",
    "explain": "Clipping, discreteness, asynchronism, integers, and what sources pass on: each of a\n"
    "population's error (docs/explain.md). Maxima of as many training images beside.",
    "report": "One self-contained page, without a network (docs/report.md; extra report).",
    "lava-env": "Where this Python is newer than 3.10, Lava runs in one of its own, without torch:\n"
    "`dnisnm verify network.net --data images/ --lava-python auto`.",
    "completion": "Source it, or keep it where your shell looks for completions: a folder that must be "
    "there (docs/cli.md).",
}

_OF_MODEL = ("model", "weights", "data", "mean", "std")
FIRST: dict[str, tuple[str, ...]] = {  # what a newcomer gives, of verbs with many options
    "convert": (*_OF_MODEL, "out"),
    "inspect": ("subject", "input_shape", "weights", "svg"),
    "check": ("net", "data", "target", "chips"),
    "simulate": ("net", "data", "images", "backend", "out"),
    "verify": ("net", *_OF_MODEL, "images"),
    "compare": ("net", *_OF_MODEL, "out"),
    "predict": ("net", "data", "confidence", "out"),
    "costs": ("net", *_OF_MODEL, "images"),
    "stream": ("net", "video", "frames", "events", "hysteresis", "out"),
    "tune": (*_OF_MODEL, "max_steps", "max_latency", "max_spikes", "max_drop", "out"),
    "precision": (*_OF_MODEL, "try_weight_bits", "out"),
    "explain": ("net", *_OF_MODEL, "images"),
    "report": ("net", *_OF_MODEL, "out"),
}  # fields of its class

MODEL = "--model net.py:net --weights net.pt --data images/"
EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("dnisnm demo", "dnisnm demo --lava-images 0 --out here --overwrite"),
    "convert": (
        f"dnisnm convert {MODEL} -o network.net",
        "dnisnm convert --model torchvision:resnet18 --weights DEFAULT --data imagenet/",
        f"dnisnm convert {MODEL} --steps 4 --weight-bits 6 --json",
        f"dnisnm convert {MODEL} --recipe tuned/tuning.json",
        "dnisnm convert --model net.py:net --weights net.pt --input-shape 3,32,32 --threshold gauss",
    ),
    "inspect": (
        "dnisnm inspect torchvision:mobilenet_v2",
        "dnisnm inspect net.py:net --input-shape 3,32,32 --svg network.svg",
        "dnisnm inspect network.net --json",
    ),
    "check": (
        "dnisnm check network.net",
        "dnisnm check network.net --chips 8 --period 64",
        "dnisnm check network.net --data images/ --rates mine.json",
        "dnisnm check followed/stream.net --video clip.mp4",
    ),
    "simulate": (
        "dnisnm simulate network.net",
        "dnisnm simulate network.net --data images/ --images 10000 --out result.json",
        "dnisnm simulate network.net --data images/ --out result.json --resume",
        "dnisnm simulate network.net --data images/ --backend lava --images 4",
        "dnisnm simulate network.net --data images/ --confidence 0.99",
        "dnisnm simulate network.net --data imagenet/ --transforms ResNet18_Weights.DEFAULT",
    ),
    "verify": (
        "dnisnm verify network.net",
        "dnisnm verify network.net --data images/",
        f"dnisnm verify {MODEL} --images 20 --steps 4",
        "dnisnm verify network.net --target sanafe",
        "dnisnm verify followed/stream.net --video clip.mp4",
        f"dnisnm verify {MODEL} --frames frames.npy --hysteresis 0.5",
    ),
    "compare": (
        f"dnisnm compare {MODEL} --out result",
        "dnisnm compare network.net",
        "dnisnm compare --model examples/mnist.py:lenet --weights mnist.pt --data mnist:DIR --mean "
        "0.1307 --std 0.3081",
        f"dnisnm compare {MODEL} --recipe paper --steps 32 --lava-images 0",
        f"dnisnm compare {MODEL} --recipe best --recipe binary --at 1,2,4,8 --out several",
    ),
    "plot": (
        "dnisnm plot a/ b/ c/ -o figure.pdf",
        "dnisnm plot several/ --x energy --width page -o figure.svg table.csv table.tex",
        "dnisnm plot a/ b/ --names ours,theirs -o figure.png page.html",
    ),
    "predict": (
        "dnisnm predict network.net --data pictures/",
        "dnisnm predict network.net --data images.npz --json",
        "dnisnm predict network.net --data pictures/ --confidence 0.99 --calibration images/ -o "
        "predictions.json",
        "dnisnm predict network.net --data pictures/ -o predictions.npz",
    ),
    "costs": (
        "dnisnm costs network.net",
        "dnisnm costs network.net --data images/ --images 20 -o costs.json",
        "dnisnm costs network.net --replay sanafe",
        "dnisnm costs followed/stream.net --video clip.mp4 --replay sanafe",
        f"dnisnm costs {MODEL}",
    ),
    "export": (
        "dnisnm export network.net -o network.onnx",
        "dnisnm export network.net -o network.pt2 --steps 4",
        "dnisnm export network.net -o network.c",
        "dnisnm export network.net -o network.nir --lossy",
    ),
    "stream": (
        "dnisnm stream network.net --video clip.mp4",
        f"dnisnm stream {MODEL} --video clip.mp4 --hysteresis 0.5 --out followed",
        "dnisnm stream network.net --frames frames/ --every 2 --limit 100 --out followed --write seen.mp4",
        "dnisnm stream network.net --events recording.aedat4 --microseconds 20000",
        "dnisnm stream followed/stream.net --frames more.npy --state followed/state.npz",
    ),
    "tune": (
        f"dnisnm tune {MODEL} --max-latency 30 --out tuned",
        f"dnisnm tune {MODEL} --max-drop 0.5 --labels",
        f"dnisnm tune {MODEL} --stream clip.mp4 --max-drop 1 --out tuned",
    ),
    "precision": (
        f"dnisnm precision {MODEL} --try-weight-bits 3-8 --try-payload-bits 2,4,5 --out bits",
        f"dnisnm precision {MODEL} --try-weight-bits 3-8 --try-payload-bits 2,4,5 --out bits --resume",
    ),
    "explain": (
        f"dnisnm explain {MODEL}",
        "dnisnm explain network.net",
        f"dnisnm explain {MODEL} --recipe paper --steps 8 -o explained.json",
    ),
    "report": (
        f"dnisnm report {MODEL} -o report.html",
        "dnisnm report network.net",
        f"dnisnm report {MODEL} --images 200 --lava-images 0",
    ),
    "lava-env": ("dnisnm lava-env",),
    "completion": (
        "dnisnm completion bash > ~/.dnisnm-completion && echo '. ~/.dnisnm-completion' >> ~/.bashrc",
        "dnisnm completion zsh > ~/.zfunc/_dnisnm",
        "dnisnm completion fish > ~/.config/fish/completions/dnisnm.fish",
    ),
}


def description(name: str, line: str | None) -> str:
    """The verb's line, and more."""
    return "\n\n".join(text for text in (line, ABOUT.get(name)) if text)


def examples(name: str) -> str:
    """Under their heading; empty where there are none."""
    lines = "\n".join(f"  {example}" for example in EXAMPLES.get(name, ()))
    return f"examples:\n{lines}" if lines else ""


def epilog(name: str) -> str:
    """Its examples, and the exit codes."""
    return "\n\n".join(text for text in (examples(name), EXIT_CODES) if text)
