"""The environment of a run: read it, change it

as written
"""

import flambe

env = flambe.get_env()
assert env.output_path == "flambe_output"
assert flambe.get_env(debug=True).debug is True
assert flambe.get_env().debug is False, "what get_env is given changes a copy"

flambe.set_env(env=env, extra={"fold": 3})
assert flambe.get_env().extra == {"fold": 3}
with flambe.env(extra={"fold": 4}):
    assert flambe.get_env().extra == {"fold": 4}
assert flambe.get_env().extra == {"fold": 3}
