"""Reading what a remote command prints."""

from flambe.cluster.connection import _drain


def test_what_came_while_a_read_timed_out_is_read_before_the_end() -> None:
    # On a busy client the read times out, and by the time that is noticed the machine has answered and hung up.
    answers = iter([TimeoutError(), b"fh1\n", TimeoutError(), b"", b"never"])

    def read(size: int) -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept: list[bytes] = []
    _drain(read, kept.append)
    assert kept == [b"fh1\n"]
