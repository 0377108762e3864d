class Words(Component):
    immutable = True

    def __init__(self, words):
        super().__init__()
        self.words = words

    @property
    def size(self):
        return len(self.words)
