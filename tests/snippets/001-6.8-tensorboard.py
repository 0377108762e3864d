"""A value for TensorBoard

as written
"""

from flambe import log

loss, step = 0.5, 3
log("train loss", loss, step)
