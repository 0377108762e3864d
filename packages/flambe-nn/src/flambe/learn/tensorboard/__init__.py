"""TensorBoard's event files, written without TensorBoard."""

from flambe.learn.tensorboard.sink import TensorBoard

__all__ = ["TensorBoard"]
