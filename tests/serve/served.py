"""A server of `ashlar serve` under test, and OpenAI's client of it."""
import contextlib
import os
import re
import subprocess
import time

import openai


@contextlib.contextmanager
def served(model, log, *flags, api_key="none"):
    """The client of a server of that model, named tiny, which ends without a fault behind the block."""
    with log.open("w") as stderr:
        server = subprocess.Popen(
            [os.environ["ASHLAR_BINARY"], "serve", str(model), "--served-model-name", "tiny", "--port", "0", *flags],
            stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if found := re.search(r"serving \S+ at (http://\S+:\d+)", log.read_text()):
                break
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield openai.OpenAI(base_url=found[1] + "/v1", api_key=api_key, max_retries=0, timeout=60)
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0, log.read_text()
