"""What a machine does for the cluster.

These files are sent to the machine as text and run there: ``flambe.cluster.host`` starts ``python -c`` with the sources and
the request on stdin, so no secret is ever part of a command line, and nothing has to be installed first. They use the
standard library only (Python 3.8 is enough to find out that a newer one is missing) and name each other relatively. The
answer is one JSON line on stdout; everything else that is printed goes to stderr.

Processes are found again by the environment that they were started with (``FLAMBE_NODE``, ``FLAMBE_JOB``) and by their
session, never by their name: nothing of other people is touched.
"""

from __future__ import annotations

SOURCES: dict[str, str] = {}
"""On a machine: name of a file → its text."""
