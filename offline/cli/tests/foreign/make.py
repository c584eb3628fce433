"""Writes the test vectors beside it: models of other libraries, with inputs and what each model says of them.

    pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 tqdm scikit-learn
    pip install --no-deps deepctr-torch==0.2.9 fuxictr==2.3.10
    python3 make.py

For each case a directory: weights.safetensors (the state dict), schema.toml, io.safetensors with inputs for `adclick pack
--goldens`, `logits_f32` (the model in f32, as it is) and `logits_stored` (f64 arithmetic over the matrices as a bundle stores
them: BatchNorm folded in f64, then rounded to fp16). README.md says what each case is for.
"""

import copy
import os
import sys
import types

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = 64
IDS = 12
DIM = 4
CATEGORIES = ["C1", "C2", "C3"]
NUMBERS = ["I1", "I2"]


def stub(*names: str) -> None:
    """Modules that the libraries import for training and logging alone, and that nothing here calls."""
    for name in names:
        module = types.ModuleType(name)
        module.__getattr__ = lambda attribute: type(attribute, (), {})
        module.__path__ = []
        sys.modules[name] = module


stub("requests", "yaml", "h5py", "fuxictr.preprocess", "fuxictr.preprocess.tokenizer", "tensorflow", "tensorflow.python", "tensorflow.python.keras")
stub("tensorflow.python.keras.callbacks")

from deepctr_torch.inputs import DenseFeat, SparseFeat  # noqa: E402
from deepctr_torch.models import DCN, MMOE, WDL, DCNMix, DeepFM, xDeepFM  # noqa: E402
from fuxictr.pytorch.layers import CrossNet, CrossNetMix, CrossNetV2, FeatureEmbedding, MLP_Block  # noqa: E402

# --- Inputs ------------------------------------------------------------------------------------------------------------


def inputs(numbers: list[str]) -> dict[str, torch.Tensor]:
    x = {name: torch.randint(0, IDS, (ROWS,)) for name in CATEGORIES}
    x.update({name: torch.randn(ROWS) for name in numbers})
    return x


def schema_text(numbers: list[str], wide: bool, model: str) -> str:
    text = ""
    for name in CATEGORIES:
        also = ", wide = true" if wide else ""
        text += f'[[features]]\nname = "{name}"\nkind = "category"\nraw = "integer"\n'
        text += f"embedding = {{ dim = {DIM}, count = {IDS}{also} }}\n\n"
    for name in numbers:
        text += f'[[features]]\nname = "{name}"\nkind = "number"\n\n'
    return text + model


def vector_schema(width: int, model: str) -> str:
    return f'[[features]]\nname = "x"\nkind = "vector"\ndim = {width}\n\n{model}'


# --- Models ------------------------------------------------------------------------------------------------------------


def randomise(model: nn.Module) -> nn.Module:
    """Weights of a trained model's size: none of them is so small that a part could be left out unnoticed."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            fan_in = max(p.shape[-1], p.shape[-2]) if p.dim() > 1 else 1
            table = "embedding" in name
            p.copy_(torch.randn(p.shape) * (0.5 if table else 0.9 / fan_in**0.5 if p.dim() > 1 else 0.3))
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.LayerNorm)):
                module.weight.copy_(1 + 0.3 * torch.randn(module.weight.shape))
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.copy_(0.4 * torch.randn(module.running_mean.shape))
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape))
    return model.eval()


class Deepctr(nn.Module):
    """A deepctr-torch model, asked for logits by the names of the features."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.model.out.forward = lambda z: z + self.model.out.bias

    def forward(self, x):
        columns = [x[name].to(next(self.parameters()).dtype) for name in self.model.feature_index]
        return self.model(torch.stack(columns, 1))


def columns(numbers: list[str]):
    return [SparseFeat(n, IDS, DIM) for n in CATEGORIES] + [DenseFeat(n, 1) for n in numbers]


class FeatureMap:
    """What FuxiCTR's FeatureEmbedding asks of its feature map."""

    def __init__(self, numbers: list[str]):
        self.features = {n: {"type": "categorical", "source": "", "vocab_size": IDS} for n in CATEGORIES}
        self.features.update({n: {"type": "numeric", "source": ""} for n in numbers})


class Dcnv2(nn.Module):
    """FuxiCTR's model_zoo/DCNv2 without what trains it: the same layers under the same names."""

    def __init__(self, structure: str, numbers: list[str], mixture: bool = False, **mlp):
        super().__init__()
        self.embedding_layer = FeatureEmbedding(FeatureMap(numbers), DIM)
        width = DIM * (len(CATEGORIES) + len(numbers))
        self.crossnet = CrossNetMix(width, 2, low_rank=5, num_experts=3) if mixture else CrossNetV2(width, 2)
        self.structure = structure
        for part in ("stacked", "parallel"):
            if part in structure:
                setattr(self, f"{part}_dnn", MLP_Block(input_dim=width, hidden_units=[16, 8], **mlp))
        outputs = {"stacked": 8, "parallel": width + 8, "stacked_parallel": 16, "crossnet_only": width}[structure]
        self.fc = nn.Linear(outputs, 1)

    def forward(self, x):
        x = self.embedding_layer(x, flatten_emb=True)
        cross = self.crossnet(x)
        parts = {
            "crossnet_only": lambda: [cross],
            "stacked": lambda: [self.stacked_dnn(cross)],
            "parallel": lambda: [cross, self.parallel_dnn(x)],
            "stacked_parallel": lambda: [self.stacked_dnn(cross), self.parallel_dnn(x)],
        }
        return self.fc(torch.cat(parts[self.structure](), -1))


class Dcn(nn.Module):
    """FuxiCTR's model_zoo/DCN."""

    def __init__(self):
        super().__init__()
        self.embedding_layer = FeatureEmbedding(FeatureMap([]), DIM)
        width = DIM * len(CATEGORIES)
        self.dnn = MLP_Block(input_dim=width, hidden_units=[16, 8], batch_norm=True, dropout_rates=0.1)
        self.crossnet = CrossNet(width, 2)
        self.fc = nn.Linear(width + 8, 1)

    def forward(self, x):
        x = self.embedding_layer(x, flatten_emb=True)
        return self.fc(torch.cat([self.crossnet(x), self.dnn(x)], -1))


class Functional(nn.Module):
    """Plain layers with activations that leave nothing in the state dict."""

    def __init__(self, activation=F.relu, last=None):
        super().__init__()
        self.dnn = nn.ModuleList([nn.Linear(10, 16), nn.Linear(16, 8)])
        self.output_layer = nn.Linear(8, 1)
        self.activations = [activation, last or activation]

    def forward(self, x):
        x = x["x"]
        for layer, activation in zip(self.dnn, self.activations):
            x = activation(layer(x))
        return self.output_layer(x)


class LowRank(nn.Module):
    """Low-rank cross layers, with the deep columns before the cross columns at the output."""

    def __init__(self):
        super().__init__()
        self.v = nn.ModuleList([nn.Linear(10, 3, bias=False) for _ in range(2)])
        self.u = nn.ModuleList([nn.Linear(3, 10) for _ in range(2)])
        self.fc1, self.fc2, self.out = nn.Linear(10, 12), nn.Linear(12, 10), nn.Linear(20, 1)

    def forward(self, x):
        x0 = xl = x["x"]
        for v, u in zip(self.v, self.u):
            xl = x0 * u(v(xl)) + xl
        return self.out(torch.cat([F.relu(self.fc2(F.relu(self.fc1(x0)))), xl], -1))


class Sequential(nn.Module):
    """Linear layers with something between them, as `dnn.0`, `dnn.2` or `dnn.3`, and so on."""

    def __init__(self, *between):
        super().__init__()
        layers, width = [], 10
        for out in (16, 8):
            layers += [nn.Linear(width, out), *(b(out) for b in between)]
            width = out
        self.dnn = nn.Sequential(*layers)
        self.output_layer = nn.Linear(8, 1)

    def forward(self, x):
        return self.output_layer(self.dnn(x["x"]))


class FarNorm(Sequential):
    """BatchNorm after ReLU over units whose mean is far from 0, measured in their deviations."""

    def __init__(self, mean: float, deviation: float):
        super().__init__(lambda n: nn.ReLU(), nn.BatchNorm1d)
        self.mean, self.deviation = mean, deviation

    def settle(self, x):
        with torch.no_grad():
            for at, norm in ((0, 2), (3, 5)):
                before = nn.Sequential(*self.dnn[:at])(x["x"])
                out = self.dnn[at](before)
                scale = self.deviation / out.std(0)
                self.dnn[at].weight.mul_(scale[:, None])
                self.dnn[at].bias.copy_(self.mean - (out.mean(0) - self.dnn[at].bias) * scale)
                after = F.relu(self.dnn[at](before))
                self.dnn[norm].running_mean.copy_(after.mean(0))
                self.dnn[norm].running_var.copy_(after.var(0))
        return self


class Dlrm(nn.Module):
    """The deep learning recommendation model: dot products between embeddings and the bottom part's output."""

    def __init__(self):
        super().__init__()
        self.emb_l = nn.ModuleList([nn.EmbeddingBag(IDS, DIM, mode="sum") for _ in CATEGORIES])
        self.bot_l = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, DIM), nn.ReLU())
        self.top_l = nn.Sequential(nn.Linear(DIM + 6, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        z = self.bot_l(torch.stack([x[n] for n in NUMBERS], 1))
        rows = torch.stack([z] + [e(x[n][:, None]) for e, n in zip(self.emb_l, CATEGORIES)], 1)
        dots = torch.bmm(rows, rows.transpose(1, 2))
        i, j = torch.tril_indices(4, 4, -1)
        return self.top_l(torch.cat([z, dots[:, i, j]], 1))


class Mmoe(Deepctr):
    """deepctr-torch's MMoE, of two tasks: the first one's logit."""

    def __init__(self):
        nn.Module.__init__(self)
        self.model = MMOE(
            columns(NUMBERS), num_experts=2, expert_dnn_hidden_units=(8,), gate_dnn_hidden_units=(4,),
            tower_dnn_hidden_units=(4,), task_types=["binary", "binary"], task_names=["ctr", "ctcvr"],
        )  # fmt: skip
        for out in self.model.out:
            out.forward = lambda z, out=out: z + out.bias

    def forward(self, x):
        return super().forward(x)[:, :1]


# --- The matrices as they are stored -----------------------------------------------------------------------------------


def fold_before(linear: nn.Linear, norm: nn.BatchNorm1d) -> None:
    """Takes a BatchNorm that stands before the activation into its Linear."""
    s = norm.weight / (norm.running_var + norm.eps).sqrt()
    linear.weight.mul_(s[:, None])
    linear.bias.copy_((linear.bias - norm.running_mean) * s + norm.bias)
    neutral(norm)


def neutral(norm: nn.BatchNorm1d) -> None:
    norm.weight.fill_(1)
    norm.bias.fill_(0)
    norm.running_mean.fill_(0)
    norm.running_var.fill_(1 - norm.eps)


def stored(model: nn.Module) -> nn.Module:
    model = copy.deepcopy(model).double()
    with torch.no_grad():
        modules = dict(model.named_modules())
        for name, module in modules.items():
            if isinstance(module, nn.BatchNorm1d):
                prefix, at = name.rsplit(".", 1)
                linears = prefix[: -len("bn")] + "linears" if prefix.endswith("bn") else None
                before = modules[f"{linears}.{at}"] if linears else modules[f"{prefix}.{int(at) - 1}"]
                fold_before(before, module)
        for name, p in model.named_parameters():
            vector = p.dim() < 2 or "bias" in name or "cross_net" in name or p.shape[-1] == 1 and "kernels" in name
            if not vector:
                p.copy_(p.half().double())
    return model


# --- Cases -------------------------------------------------------------------------------------------------------------


def write(name: str, model: nn.Module, x: dict, schema: str, state=None, as_stored: bool = True) -> None:
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    with torch.no_grad():
        io = dict(x, logits_f32=model(x).float().reshape(-1))
        if as_stored:
            wide = {k: v.double() if v.is_floating_point() else v for k, v in x.items()}
            io["logits_stored"] = stored(model)(wide).reshape(-1)
    state = state or model.state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, os.path.join(folder, "weights.safetensors"))
    save_file({k: v.contiguous() for k, v in io.items()}, os.path.join(folder, "io.safetensors"))
    with open(os.path.join(folder, "schema.toml"), "w", encoding="utf-8") as file:
        file.write(schema.rstrip() + "\n")


def deepctr(name: str, make, model: str, as_stored: bool = True) -> None:
    wrapped = Deepctr(randomise(make))
    write(name, wrapped, inputs(NUMBERS), schema_text(NUMBERS, True, model), wrapped.model.state_dict(), as_stored)


def plain(name: str, model: nn.Module, options: str, as_stored: bool = True, spread: bool = True) -> None:
    x = {"x": torch.randn(ROWS, 10)}
    model = randomise(model) if spread else model
    if isinstance(model, FarNorm):
        model.settle(x)
    write(name, model, x, vector_schema(10, options), as_stored=as_stored)


def main() -> None:
    torch.manual_seed(20260101)
    np.random.seed(1)
    c = columns(NUMBERS)
    relu = '[model]\nactivation = "relu"\n'
    no_fm = relu + 'interactions = "none"\n'
    deepctr("deepctr_dcn", DCN(c, c, cross_num=2, dnn_hidden_units=(16, 8)), relu)
    matrix = DCN(c, c, cross_num=2, cross_parameterization="matrix", dnn_hidden_units=(16, 8), dnn_use_bn=True)
    deepctr("deepctr_dcn_matrix", matrix, relu)
    deepctr("deepctr_dcn_mix", DCNMix(c, c, cross_num=2, dnn_hidden_units=(16, 8), low_rank=5, num_experts=3), relu)
    deepctr("deepctr_wdl", WDL(c, c, dnn_hidden_units=(16, 8)), no_fm)
    deepctr("deepctr_deepfm", DeepFM(c, c, dnn_hidden_units=(16, 8)), relu, False)
    deepctr("deepctr_xdeepfm", xDeepFM(c, c, dnn_hidden_units=(16, 8), cin_layer_size=(4, 4)), relu, False)
    deepctr("deepctr_prelu", WDL(c, c, dnn_hidden_units=(16, 8), dnn_activation="prelu"), no_fm, False)
    mmoe = randomise(Mmoe())
    write("deepctr_mmoe", mmoe, inputs(NUMBERS), schema_text(NUMBERS, False, relu), mmoe.model.state_dict(), False)

    def fuxictr(name, model, options="", numbers=()):
        # FuxiCTR turns numbers into f32 itself, so that such a model does not run in f64.
        x, schema = inputs(list(numbers)), schema_text(list(numbers), False, options)
        write(name, randomise(model), x, schema, as_stored=not numbers)

    fuxictr("fuxictr_dcnv2", Dcnv2("parallel", [], dropout_rates=0.1))
    fuxictr("fuxictr_dcnv2_stacked", Dcnv2("stacked", [], batch_norm=True))
    fuxictr("fuxictr_dcn_mix", Dcnv2("parallel", [], mixture=True, hidden_activations="Tanh"), '[model]\nactivation = "tanh"\n')
    fuxictr("fuxictr_dcn", Dcn())
    fuxictr("fuxictr_stacked_parallel", Dcnv2("stacked_parallel", []))
    fuxictr("fuxictr_numbers", Dcnv2("parallel", NUMBERS), numbers=NUMBERS)

    plain("plain_functional", Functional(), relu)
    plain("plain_last_linear", Functional(last=lambda x: x), '[model]\nactivation = ["relu", "none"]\n')
    renamed = (
        '[model]\nactivation = "relu"\noutput_order = "deep_cross"\n\n[tensors]\n"cross_v.{i}.weight" = "v.{i}.weight"\n'
        '"cross_u.{i}.weight" = "u.{i}.weight"\n"cross_u.{i}.bias" = "u.{i}.bias"\n"dnn.{i}.weight" = "fc{i}.weight"\n'
        '"dnn.{i}.bias" = "fc{i}.bias"\n"output_layer.weight" = "out.weight"\n"output_layer.bias" = "out.bias"\n'
    )
    plain("plain_low_rank", LowRank(), renamed)
    plain("plain_gelu", Sequential(lambda n: nn.GELU()), "", False)
    plain("plain_silu", Sequential(lambda n: nn.SiLU()), "", False)
    plain("plain_layer_norm", Sequential(nn.LayerNorm, lambda n: nn.ReLU()), "", False)
    plain("plain_eps", Sequential(lambda n: nn.BatchNorm1d(n, eps=1e-2), lambda n: nn.ReLU()), '[model]\nbatchnorm_eps = 1e-2\n')
    plain("plain_far_norm", FarNorm(3.0, 0.3), "", False)
    plain("plain_very_far_norm", FarNorm(10.0, 0.03), "", False)
    dlrm = randomise(Dlrm())
    write("dlrm", dlrm, inputs(NUMBERS), schema_text(NUMBERS, False, ""), as_stored=False)


if __name__ == "__main__":
    main()
