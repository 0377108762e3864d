"""A stream of specs whose reader goes away."""

import subprocess
import sys

TEXT = """!Experiment
name: many
pipeline:
  a: !torch.Linear
    in_features: !g [{}]
    out_features: !g [{}]
"""


def test_a_reader_that_takes_one_line_is_no_failure(tmp_path):
    hundred = ", ".join(str(number) for number in range(1, 101))
    (tmp_path / "many.yaml").write_text(TEXT.format(hundred, hundred))
    process = subprocess.Popen(
        [sys.executable, "-m", "flambe.compile.cli", "--expand", str(tmp_path / "many.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b'{"flambe_spec":"1.0"')
    process.stdout.close()
    words = process.stderr.read().decode()
    assert process.wait(timeout=60) == 0, words
