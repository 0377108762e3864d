"""A runnable is anything with `run`

as written
"""

from flambe.runnable.start import make_ready, run_arguments, wants_more


class Runnable(object):
    def run(self):
        return "ran"


runnable = Runnable()
make_ready(runnable, {})
result = runnable.run(**run_arguments(runnable))
assert result == "ran"
assert not wants_more(runnable, result)
