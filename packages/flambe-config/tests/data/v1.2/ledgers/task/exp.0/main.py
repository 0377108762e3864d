import os
import signal
import time

import flambe
import numpy as np


@flambe.launch()
def task(ctx: flambe.Context) -> float:
    ctx.logger.log_metrics({"loss": 1.0 / ctx.config.rate, "step": 1}, log_name="train")
    ctx.logger.log_artifact({"rate": np.array([ctx.config.rate])}, "rate", "numpy")
    if ctx.config.rate == 3:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    return ctx.config.rate


if __name__ == "__main__":
    task()
