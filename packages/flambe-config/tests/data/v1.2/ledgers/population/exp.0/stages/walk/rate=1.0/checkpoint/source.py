class Walk(Component):
    def __init__(self, rate=1.0, steps=4):
        super().__init__()
        self.rate, self.steps, self.done, self.position = rate, steps, 0, np.zeros(2)
        self.register_attrs("done", "position")

    def run(self):
        self.done += 1
        self.position = self.position + self.rate
        return self.done < self.steps

    def metric(self):
        return math.nan if self.done == 1 else float(self.position.sum())
