"""Random torch models: chains of all modules that can be converted, and chains that went wrong."""

import random

import torch
from torch import nn
from torchvision.transforms import Normalize, v2

UNSUPPORTED = (nn.GELU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.ReLU6, lambda: nn.Softmax(1))


class Chain:
    """A model that grows module by module, and knows the shape that it has come to."""

    def __init__(self, rng: random.Random, shape: tuple[int, ...]) -> None:
        self.rng, self.shape, self.modules = rng, shape, []
        self.relu = nn.ReLU() if rng.random() < 0.3 else None  # one for all

    def add(self, module: nn.Module) -> bool:
        """Append a module and return True, unless it does not take what there is."""
        try:
            found = module.eval()(torch.zeros(1, *self.shape))
        except RuntimeError:
            return False
        if not found.isfinite().all():  # a maximum of padding alone
            return False
        self.modules.append(module)
        self.shape = tuple(found.shape[1:])
        return True

    def maybe(self, share: float, *makers) -> None:
        """Append what one of the makers makes, in a share of the cases."""
        if self.rng.random() < share:
            self.add(self.rng.choice(makers)())

    def activation(self) -> nn.ReLU:
        return self.relu or nn.ReLU(inplace=self.rng.random() < 0.5)

    def weights(self) -> nn.Module:
        """Return Linear for features, else a convolution."""
        rng, n = self.rng, self.shape[0]
        if len(self.shape) == 1:
            return nn.Linear(n, rng.randint(1, 7), bias=rng.random() < 0.8)
        kind = nn.Conv1d if len(self.shape) == 2 else nn.Conv2d
        groups = rng.choice([g for g in (1, 1, 2, 3) if n % g == 0])
        how = {"dilation": rng.choice([1, 1, 2]), "groups": groups, "bias": rng.random() < 0.8}
        how |= {"stride": rng.choice([1, 1, 2]), "padding": rng.choice([0, 1, 2])}
        if rng.random() < 0.2:
            how |= {"stride": 1, "padding": "valid"}
        return kind(n, groups * rng.randint(1, 2), rng.choice([1, 2, 3]), **how)

    def norm(self) -> nn.Module:
        """Return a batch normalisation with scales of either sign."""
        kind = nn.BatchNorm2d if len(self.shape) == 3 else nn.BatchNorm1d
        module = kind(self.shape[0], affine=self.rng.random() < 0.9)
        module.running_mean.normal_()
        module.running_var.uniform_(0.2, 3.0)
        for number in module.parameters():
            nn.init.normal_(number)
        return module

    def rising(self) -> nn.Module:
        """Return a batch normalisation without negative scales."""
        module = self.norm()
        if module.affine:
            module.weight.data.relu_()
        return module

    def _pool(self, kinds, **how) -> nn.Module:
        kernel = self.rng.choice([1, 2, 3])
        how |= {"stride": self.rng.choice([None, 1, 2]), "ceil_mode": self.rng.random() < 0.3}
        padding = self.rng.choice([0, kernel // 2])
        return kinds[len(self.shape) != 2](kernel, padding=padding, **how)

    def maximum(self) -> nn.Module:
        return self._pool((nn.MaxPool1d, nn.MaxPool2d), dilation=self.rng.choice([1, 1, 2]))

    def mean(self) -> nn.Module:
        if self.rng.random() < 0.2:
            return (nn.AdaptiveAvgPool1d if len(self.shape) == 2 else nn.AdaptiveAvgPool2d)(1)
        how = {"count_include_pad": self.rng.random() < 0.5}
        if len(self.shape) == 3 and self.rng.random() < 0.2:
            how["divisor_override"] = 3
        return self._pool((nn.AvgPool1d, nn.AvgPool2d), **how)

    def alone(self) -> nn.Module:
        dropout = {2: nn.Dropout1d, 3: nn.Dropout2d}.get(len(self.shape), nn.Dropout)
        return self.rng.choice([nn.Dropout, nn.Identity, dropout])()

    def flatten(self) -> nn.Module:
        """Return a change of shape; what it leaves is features or sequences."""
        ends = [(1, -1), (1, -1), (2, -1), (1, 2)] if len(self.shape) == 3 else [(1, -1)]
        return nn.Flatten(*self.rng.choice(ends))

    def standardise(self) -> nn.Module:
        kind, n = self.rng.choice([Normalize, v2.Normalize]), self.rng.choice([1, self.shape[0]])
        return kind([self.rng.random() for _ in range(n)], [self.rng.uniform(0.2, 1)] * n)

    def layer(self, last: bool) -> None:
        """Append the modules of a layer, in an order that can be converted."""
        spatial = len(self.shape) > 1
        for _ in range(2 * spatial):
            self.maybe(0.3, self.rising, self.maximum, self.alone)
        self.maybe(0.3, self.norm, self.mean if spatial else self.alone)
        if spatial and (last or self.rng.random() < 0.3):
            self.add(nn.Flatten() if last else self.flatten())
        if not self.add(self.weights()):
            self.add(nn.Flatten())
            self.add(self.weights())
        spatial = len(self.shape) > 1
        self.maybe(0.5, self.norm, self.mean if spatial else self.alone)
        self.maybe(0.3, self.norm, self.alone)
        if not last:
            for _ in range(2 * spatial):
                self.maybe(0.3, self.maximum, self.rising, self.alone)
            for _ in range(self.rng.choice([1, 1, 1, 2])):
                self.add(self.activation())


def nested(rng: random.Random, modules: list[nn.Module]) -> nn.Sequential:
    """Return the modules in a Sequential, some of them in Sequentials of their own."""
    modules, found = list(modules), []
    while modules:
        n = rng.choice([1, 1, 1, 2, 4])
        part, modules = modules[:n], modules[n:]
        found.append(part[0] if n == 1 else nested(rng, part) if modules else nn.Sequential(*part))
    return nn.Sequential(*found)


def spoiled(rng: random.Random, modules: list[nn.Module]) -> list[nn.Module]:
    """Return modules of which one or two are moved, lost, turned over, or of another kind."""
    modules = list(modules)
    for _ in range(rng.choice([1, 1, 2])):
        n = rng.randrange(len(modules))
        match rng.randrange(6):
            case 0:
                modules.insert(rng.randrange(len(modules)), modules.pop(n))
            case 1 if len(modules) > 1:
                del modules[n]
            case 2:
                modules.insert(n, rng.choice(UNSUPPORTED)())
            case 3:
                modules.insert(n, nn.ReLU())
            case 4:
                modules.insert(n, rng.choice([nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool2d])(2, 1))
            case 5:
                for module in modules:
                    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
                        module.weight.data.neg_()
    return modules


def random_model(seed: int, wild: bool) -> tuple[nn.Sequential, tuple[int, ...]]:
    """Return a model in eval mode, and the shape of its input; if ``wild``, it may have faults."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    sizes = [(rng.randint(1, 9),), (rng.randint(1, 4), rng.randint(3, 9))]
    sizes += 2 * [(rng.randint(1, 4), rng.randint(3, 8), rng.randint(3, 8))]
    shape = rng.choice(sizes)
    chain = Chain(rng, shape)
    if len(shape) == 3:
        chain.maybe(0.5, chain.standardise)
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3])):
        chain.layer(last=False)
    chain.layer(last=True)
    model = nested(rng, spoiled(rng, chain.modules) if wild else chain.modules).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(rng.random() < 0.8)
    return model.to(
        rng.choice([torch.float32, torch.float32, torch.float64, torch.bfloat16])
    ), shape
