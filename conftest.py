"""For all tests: what a process inherits must not decide what they see."""

import signal

# A shell that starts a job in the background has it, and all that it starts, ignore SIGINT. Tests send that to commands.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
