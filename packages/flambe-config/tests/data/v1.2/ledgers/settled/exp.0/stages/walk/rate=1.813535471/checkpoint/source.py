class Walk(Component):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.position, self.steps = rate, 0.0, 0
        self.register_attrs("position", "steps")

    def run(self) -> bool:
        self.position += self.rate
        self.steps += 1
        return self.steps < 6

    def metric(self) -> float:
        return self.position
