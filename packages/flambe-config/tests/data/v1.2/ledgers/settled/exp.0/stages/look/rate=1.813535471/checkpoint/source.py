class Look(Component):
    def __init__(self, position: float) -> None:
        super().__init__()
        self.position = position

    def run(self) -> bool:
        return False
