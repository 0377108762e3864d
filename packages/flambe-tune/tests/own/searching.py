"""Search algorithms of one's own, with the three methods of 1.0: two that choose, and some that do something wrong."""

from flambe.search import Trial, TrialState


class Doubling:
    """Doubles the rate as long as it helps."""

    def __init__(self, first, rounds=4, seed=None):
        self.first, self.rounds, self.seed, self.seen = first, rounds, seed, []

    def initialize(self, space):
        (self.name,) = space
        self.high = space[self.name].sample()

    def is_done(self):
        return self.rounds == 0

    def update(self, trials, maximum=None):
        if all(trial.has_ended for trial in trials.values()):
            good = [trial for trial in trials.values() if trial.metric is not None]
            best = max(good, key=lambda trial: trial.best_metric, default=None)
            rate = self.first if best is None else best.params[self.name] * 2
            trials[str(len(trials))] = Trial({self.name: rate})
            self.rounds -= 1
        return trials


class Halving:
    """Tries rates at once; after two steps the lower half ends, and what has waited goes on."""

    def __init__(self, rates):
        self.rates = rates

    def initialize(self, space):
        (self.name,) = space
        self.done = False

    def is_done(self):
        return self.done

    def update(self, trials, maximum=None):
        if not trials:
            trials.update((str(rate), Trial({self.name: rate})) for rate in self.rates)
        at_two = [trial for trial in trials.values() if len(trial.metrics) >= 2]
        good = sorted(trial.metrics[1] for trial in at_two)[len(self.rates) // 2 :]
        for trial in trials.values():
            if trial.state is TrialState.HAS_RESULT and len(trial.metrics) == 2 and len(at_two) < len(self.rates):
                trial.state = TrialState.PAUSED
            elif len(at_two) == len(self.rates) and len(trial.metrics) == 2:
                trial.state = TrialState.RESUME if trial.metrics[1] in good else TrialState.TERMINATED
        self.done = len(at_two) == len(self.rates)
        return trials


class Stubborn:
    """Proposes the same rates in turn and is never done."""

    def __init__(self, rates):
        self.rates, self.count = rates, 0

    def initialize(self, space):
        (self.name,) = space

    def is_done(self):
        return False

    def update(self, trials, maximum=None):
        if all(trial.has_ended for trial in trials.values()):
            trials[str(len(trials))] = Trial({self.name: self.rates[min(self.count, len(self.rates) - 1)]})
            self.count += 1
        return trials


class Chatty(Stubborn):
    def update(self, trials, maximum=None):
        return {**trials, "a": Trial({self.name: 1, "train.rat": 2})}


class Silent(Doubling):
    def update(self, trials, maximum=None):
        pass


class Listing(Doubling):
    def update(self, trials, maximum=None):
        return list(super().update(trials, maximum).values())


class Bare(Doubling):
    def update(self, trials, maximum=None):
        return {**trials, "a": {"rate": 1}}


class Forgetful(Doubling):
    def update(self, trials, maximum=None):
        return {} if trials else super().update(trials, maximum)


class Broken(Doubling):
    def update(self, trials, maximum=None):
        return 1 / 0


class Unready(Doubling):
    def initialize(self, space):
        raise LookupError("no space")


class Lost(Doubling):
    def update(self, trials, maximum=None):
        return {**trials, "a": Trial({"rate": 1})}


class Nothing:
    pass


class Late(Doubling):
    def __init__(self, first):
        raise LookupError("no first")
