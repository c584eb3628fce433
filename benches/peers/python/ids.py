"""Models whose inputs are rows of embedding tables: each peer finds them by its own means.

The driver writes
    MODEL.features          rows of each table; TABLE:VALUES of the request's features; those of a candidate's
    tables.f32              the tables one after the other, 16 numbers a row
    MODEL.DRAW.ads          ids of ads, u32, in the order of the candidate's features; .users the same of requests
Call q is for user q and the next ads, as in embedded/task.rs.
"""

import numpy

import graphs
import libraries

DIM = 16
NUMBERS = 13


class Tables:
    def __init__(self, directory, model):
        lines = (directory / f"{model}.features").read_text().split("\n")
        self.rows = [int(rows) for rows in lines[0].split()]
        # numpy asks for large pages where arrays are large.
        self.all = numpy.fromfile(directory / "tables.f32", numpy.float32).reshape(-1, DIM)
        self.first = numpy.concatenate([[0], numpy.cumsum(self.rows)])

    def __getitem__(self, table):
        return self.all[self.first[table] : self.first[table + 1]]


class Asked:
    """The inputs of a call, in arrays that stay where they are."""

    def __init__(self, directory, tables, model, count, draw):
        lines = (directory / f"{model}.features").read_text().split("\n")
        features = [[tuple(map(int, word.split(":"))) for word in line.split()] for line in lines[1:]]
        self.tables, self.count, self.calls = tables, count, 0
        # (name, table, values), the request's first.
        self.request = [(f"request{i}", table, values) for i, (table, values) in enumerate(features[0])]
        self.candidate = [(f"candidate{i}", table, values) for i, (table, values) in enumerate(features[1])]
        read = lambda name: numpy.fromfile(directory / f"{model}.{draw}.{name}", numpy.uint32)
        self.ads = read("ads").reshape(-1, len(self.candidate))
        self.users = read("users").reshape(-1, max(1, sum(values for _, _, values in self.request)))
        self.numbers = (numpy.arange(NUMBERS, dtype=numpy.float32) * numpy.float32(0.1)).reshape(1, -1)
        self.ids = {name: numpy.zeros((1, values), numpy.int64) for name, _, values in self.request}
        self.ids |= {name: numpy.zeros(count, numpy.int64) for name, _, _ in self.candidate}
        self.write(0)

    def write(self, call):
        """What a caller has ready before it asks."""
        if self.request:
            user = self.users[call % len(self.users)]
            at = 0
            for name, _, values in self.request:
                self.ids[name][0] = user[at : at + values]
                at += values
        first = call % max(1, len(self.ads) // self.count) * self.count
        for i, (name, _, _) in enumerate(self.candidate):
            self.ids[name][:] = self.ads[first : first + self.count, i]

    def next(self):
        self.write(self.calls)
        self.calls += 1

    def used(self):
        """The tables that are read, by name."""
        return {f"t{table}": self.tables[table] for _, table, _ in self.request + self.candidate}


class Onnx(graphs.Onnx):
    """A Gather for each feature on tables that are inputs, so that nothing copies them; Concat; then the network."""

    def __init__(self, tensors, asked, split=False):
        super().__init__(tensors, asked.count, split)
        self.asked = asked

    def whole(self, values):
        return self.constant(numpy.array(values, numpy.int64))

    def of_request(self):
        """`[1, request columns]`."""
        parts = ["numbers"]
        for name, table, values in self.asked.request:
            rows = self.node("Gather", f"t{table}", name, axis=0)
            if values > 1:
                rows = self.node("ReduceMean", rows, axes=[1], keepdims=0)
            parts.append(self.node("Reshape", rows, self.whole([1, DIM])))
        return self.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def of_candidates(self):
        parts = [self.node("Gather", f"t{table}", name, axis=0) for name, table, _ in self.asked.candidate]
        return self.node("Concat", *parts, axis=1)

    def bytes(self):
        asked, request, rest = self.asked, self.of_request(), self.of_candidates()
        repeated = self.node("Expand", request, self.whole([asked.count, self.t.request]))
        self.x = self.node("Concat", repeated, rest, axis=1)
        self.request, self.rest = request, rest
        shapes = {"numbers": [1, NUMBERS]} | {name: values.shape for name, values in asked.used().items()}
        return self.finished(shapes | self.more_shapes(), {name: ids.shape for name, ids in asked.ids.items()})

    def more_shapes(self):
        return {}


class OnnxOne(Onnx):
    """All tables in one, and one Gather for all of a candidate's ids: fewer nodes."""

    def of_candidates(self):
        first = [self.asked.tables.first[table] for _, table, _ in self.asked.candidate]
        sums = [
            self.node("Unsqueeze", self.node("Add", name, self.whole(at)), self.whole([1]))
            for (name, _, _), at in zip(self.asked.candidate, first)
        ]
        rows = self.node("Gather", "all", self.node("Concat", *sums, axis=1), axis=0)
        return self.node("Reshape", rows, self.whole([self.asked.count, DIM * len(first)]))

    def more_shapes(self):
        return {"all": self.asked.tables.all.shape}


class OnnxRuntime(libraries.OnnxRuntime):
    graph, split = Onnx, False

    def load(self, tensors, asked):
        self.session_of_graph = self.session(self.graph(tensors, asked, self.split).bytes())
        inputs = {"numbers": asked.numbers, "all": asked.tables.all} | asked.used() | asked.ids
        read = {value.name for value in self.session_of_graph.get_inputs()}
        inputs = {name: values for name, values in inputs.items() if name in read}
        return self.bound(self.session_of_graph, inputs, numpy.zeros((asked.count, 1), numpy.float32))


class OnnxRuntimeOne(OnnxRuntime):
    graph = OnnxOne


class OnnxRuntimeSplit(OnnxRuntime):
    split = True


class OpenVino(libraries.OpenVino):
    def load(self, tensors, asked):
        # Tables that are inputs would be converted to bf16 in each call.
        request = self.request(Onnx(tensors, asked).bytes(), asked.used())
        for name, values in ({"numbers": asked.numbers} | asked.ids).items():
            request.set_tensor(name, self.library.Tensor(values, shared_memory=True))
        output = request.get_output_tensor()
        return request.infer, lambda: output.data.copy()


class OpenVinoBf16(OpenVino):
    precision = "bf16"


class LiteRtGraph(graphs.LiteRt):
    """GATHER on tables that are inputs, written once."""

    def __init__(self, tensors, asked):
        super().__init__(tensors, asked.count)
        self.asked = asked

    def bytes(self):
        asked, tables, names = self.asked, {}, {}
        numbers = self.tensor([1, NUMBERS])
        for name, values in asked.used().items():
            tables[name] = self.tensor(values.shape)
        for name, ids in asked.ids.items():
            names[name] = self.tensor(ids.shape[-1:], integers=True)
        whole = lambda values: self.tensor([len(values)], numpy.array(values, numpy.int32), integers=True)
        parts, width = [numbers], NUMBERS
        for name, table, values in asked.request:
            part = self.operator("GATHER", [tables[f"t{table}"], names[name]], DIM, rows=values, axis=0)
            if values > 1:
                part = self.operator("MEAN", [part, whole([0])], DIM, rows=1, keepDims=True)
            parts.append(part)
            width += DIM
        if len(parts) > 1:
            parts = [self.operator("CONCATENATION", parts, width, rows=1, axis=1)]
        rows = [self.operator("BROADCAST_TO", [parts[0], whole([asked.count, width])], width)]
        for name, table, _ in asked.candidate:
            rows.append(self.operator("GATHER", [tables[f"t{table}"], names[name]], DIM, axis=0))
            width += DIM
        x = self.operator("CONCATENATION", rows, width, axis=1)
        return self.finished([numbers, *tables.values(), *names.values()], x)


class LiteRt(libraries.LiteRt):
    def load(self, tensors, asked):
        interpreter = self.interpreter(LiteRtGraph(tensors, asked).bytes())
        places = [detail["index"] for detail in interpreter.get_input_details()]
        once = [asked.numbers, *asked.used().values()]
        for place, values in zip(places, once):
            interpreter.set_tensor(place, values)
        output = interpreter.get_output_details()[0]["index"]
        # Views of the arrays that it reads, so that nothing is copied in a call.
        self.views = [interpreter.tensor(place) for place in places[len(once) :]]
        sources = list(asked.ids.values())
        write = asked.write

        def and_here(call):
            write(call)
            for view, values in zip(self.views, sources):
                view()[:] = values.reshape(-1)

        asked.write = and_here
        asked.write(0)
        return interpreter.invoke, lambda: interpreter.get_tensor(output)


class Torch:
    """`embedding`, and `embedding_bag` for several values; `linear`. The request's rows are one, and broadcast."""

    compiled = False

    def __init__(self):
        import torch

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self.library = torch
        self.version = f"PyTorch {torch.__version__.split('+')[0]}"

    def load(self, t, asked):
        torch = self.library
        functional = torch.nn.functional
        tables = {name: torch.from_numpy(values) for name, values in asked.used().items()}
        ids = {name: torch.from_numpy(values) for name, values in asked.ids.items()}
        numbers = torch.from_numpy(asked.numbers)
        weight = lambda name: torch.from_numpy(numpy.ascontiguousarray(t[name]))
        cross = [[weight(f"cross.{i}.{part}") for part in ("v", "u", "bias")] for i in t.layers("cross")]
        deep = [[weight(f"deep.{i}.{part}") for part in ("weight", "bias")] for i in t.layers("deep")]
        head, bias = weight("head.weight"), weight("head.bias")

        def forward():
            request = [numbers]
            for name, table, values in asked.request:
                if values > 1:
                    request.append(functional.embedding_bag(ids[name], tables[f"t{table}"], mode="mean"))
                else:
                    request.append(functional.embedding(ids[name][0], tables[f"t{table}"]))
            rows = [functional.embedding(ids[name], tables[f"t{table}"]) for name, table, _ in asked.candidate]
            x = torch.cat([torch.cat(request, 1).expand(asked.count, -1), *rows], 1)
            xl = y = x
            for v, u, b in cross:
                xl = x * functional.linear(functional.linear(xl, v), u, b) + xl
            for w, b in deep:
                y = functional.linear(y, w, b).relu()
            return functional.linear(torch.cat([xl, y], 1), head, bias)

        run = torch.compile(forward, dynamic=False) if self.compiled else forward
        return run, lambda: run().numpy()


class TorchCompiled(Torch):
    compiled = True
