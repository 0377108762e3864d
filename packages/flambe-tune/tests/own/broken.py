"""A module that cannot be imported."""

if __name__ != "__main__":
    raise LookupError("no luck")


class Mine:
    def __init__(self):
        self.left = 0
