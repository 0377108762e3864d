class Look(Component):
    def __init__(self, position):
        super().__init__()
        self.seen = position
        self.register_attrs("seen")

    def run(self):
        return False
