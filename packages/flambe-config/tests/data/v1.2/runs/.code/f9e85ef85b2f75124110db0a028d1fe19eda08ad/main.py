"""The program that the run of this version was made with."""

import flambe


@flambe.launch()
def my_task(ctx: flambe.Context) -> float:
    ctx.logger.log_metrics({"loss": ctx.config.lr}, log_name="train")
    ctx.logger.log_artifact({"lr": ctx.config.lr}, "rate", "json")
    print("the rate is", ctx.config.lr)
    return ctx.config.lr


if __name__ == "__main__":
    my_task()
