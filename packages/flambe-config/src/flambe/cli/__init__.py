"""What every command shares: streams, console, the door; and the ``flambe`` command itself."""
