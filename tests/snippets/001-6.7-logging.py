"""Logging from anywhere

as written
"""

import logging

logger = logging.getLogger(__name__)

logger.info("Some info here")

logger.error("Something went wrong here...")
