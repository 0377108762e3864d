"""Models and data for text. Each task has a room of its own; nothing is loaded here."""

__all__: list[str] = []
