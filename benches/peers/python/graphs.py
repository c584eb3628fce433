"""The network as an ONNX graph and as a LiteRT flatbuffer, from the tensors that the driver wrote.

    graphs.py DIRECTORY MODEL ROWS      writes DIRECTORY/MODEL.ROWS.onnx

Tensors (f32, `[outputs, inputs]`): cross.I.weight, or cross.I.v and cross.I.u; cross.I.bias; deep.I.weight, deep.I.bias;
head.weight `[1, d + last deep]`, head.bias. The first `request` columns of x are the same in all rows.
"""

import sys
from pathlib import Path

import numpy
from safetensors import safe_open


class Tensors:
    def __init__(self, path):
        with safe_open(path, "numpy") as file:
            self.by_name = {name: file.get_tensor(name) for name in file.keys()}
            self.request = int(file.metadata()["request"])
        self.width = self.by_name["cross.0.bias"].shape[0]

    def __getitem__(self, name):
        return self.by_name[name]

    def __contains__(self, name):
        return name in self.by_name

    def layers(self, part):
        return range(sum(name.startswith(part) and name.endswith(".bias") for name in self.by_name))


def network(t, graph, x):
    """Writes the layers into a graph of either kind; returns its logits."""
    xl = deep = x
    for i in t.layers("cross"):
        name = f"cross.{i}"
        if f"{name}.v" in t:
            sums = graph.linear(t[f"{name}.u"], t[f"{name}.bias"], graph.linear(t[f"{name}.v"], None, xl))
        else:
            sums = graph.linear(t[f"{name}.weight"], t[f"{name}.bias"], xl)
        xl = graph.add(graph.multiply(x, sums), xl)
    for i in t.layers("deep"):
        deep = graph.linear(t[f"deep.{i}.weight"], t[f"deep.{i}.bias"], deep, relu=True)
    return graph.linear(t["head.weight"], t["head.bias"], graph.side_by_side(xl, deep))


class Onnx:
    """Gemm with constant weights and a fixed number of rows. `split`: what the first layers make of the request's
    columns is computed for one row, and added to all rows' own share."""

    def __init__(self, tensors, rows, split=False):
        self.t, self.rows, self.split = tensors, rows, split
        self.nodes, self.constants = [], []
        # The tensors that hold the rows, and for a split graph the request's columns and the others.
        self.x, self.request, self.rest = "x", "request", "rest"

    def constant(self, values):
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(values), name))
        return name

    def node(self, kind, *inputs, **attributes):
        from onnx import helper

        output = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def add(self, a, b):
        return self.node("Add", a, b)

    def multiply(self, a, b):
        return self.node("Mul", a, b)

    def side_by_side(self, a, b):
        return self.node("Concat", a, b, axis=1)

    def linear(self, weight, bias, x, relu=False):
        if x == self.x and self.split:
            request = self.t.request
            shared = self.linear(weight[:, :request], bias, self.request)
            sums = self.add(self.node("MatMul", self.rest, self.constant(weight[:, request:].T)), shared)
        elif bias is None:
            sums = self.node("MatMul", x, self.constant(weight.T))
        else:
            sums = self.node("Gemm", x, self.constant(weight.T), self.constant(bias))
        return self.node("Relu", sums) if relu else sums

    def bytes(self):
        t = self.t
        shapes = {"x": [self.rows, t.width]}
        if self.split:
            shapes |= {"request": [1, t.request], "rest": [self.rows, t.width - t.request]}
        return self.finished(shapes)

    def finished(self, shapes, ids={}):
        from onnx import TensorProto, helper

        network(self.t, self, self.x)
        self.nodes[-1].output[0] = "logit"
        value = helper.make_tensor_value_info
        inputs = [value(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        inputs += [value(name, TensorProto.INT64, shape) for name, shape in ids.items()]
        outputs = [value("logit", TensorProto.FLOAT, [self.rows, 1])]
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return model.SerializeToString()


class LiteRt:
    """FULLY_CONNECTED with ReLU fused in, MUL, ADD and CONCATENATION, for a fixed number of rows."""

    def __init__(self, tensors, rows):
        from ai_edge_litert import schema_py_generated as schema

        self.t, self.rows, self.schema = tensors, rows, schema
        self.tensors, self.buffers, self.operators, self.codes = [], [schema.BufferT()], [], []

    def tensor(self, shape, values=None, integers=False):
        kinds, tensor = self.schema.TensorType, self.schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kinds.INT32 if integers else kinds.FLOAT32, 0
        tensor.name = f"t{len(self.tensors)}"
        if values is not None:
            buffer = self.schema.BufferT()
            buffer.data = numpy.frombuffer(numpy.ascontiguousarray(values).tobytes(), numpy.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, kind, inputs, width, rows=None, **options):
        schema = self.schema
        builtin = getattr(schema.BuiltinOperator, kind)
        if builtin not in self.codes:
            self.codes.append(builtin)
        name = {
            "FULLY_CONNECTED": "FullyConnected",
            "MUL": "Mul",
            "ADD": "Add",
            "CONCATENATION": "Concatenation",
            "GATHER": "Gather",
            "BROADCAST_TO": "BroadcastTo",
            "MEAN": "Reducer",
        }[kind]
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self.codes.index(builtin), inputs
        operator.outputs = [self.tensor([self.rows if rows is None else rows, width])]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
        operator.builtinOptions = getattr(schema, f"{name}OptionsT")()
        for key, value in options.items():
            setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)
        return operator.outputs[0]

    def add(self, a, b):
        return self.operator("ADD", [a, b], self.tensors[a].shape[1])

    def multiply(self, a, b):
        return self.operator("MUL", [a, b], self.tensors[a].shape[1])

    def side_by_side(self, a, b):
        return self.operator("CONCATENATION", [a, b], self.tensors[a].shape[1] + self.tensors[b].shape[1], axis=1)

    def linear(self, weight, bias, x, relu=False):
        activation = self.schema.ActivationFunctionType
        bias = numpy.zeros(weight.shape[0], numpy.float32) if bias is None else bias
        inputs = [x, self.tensor(weight.shape, weight), self.tensor(bias.shape, bias)]
        fused = activation.RELU if relu else activation.NONE
        return self.operator("FULLY_CONNECTED", inputs, weight.shape[0], fusedActivationFunction=fused)

    def bytes(self):
        x = self.tensor([self.rows, self.t.width])
        return self.finished([x], x)

    def finished(self, inputs, x):
        import flatbuffers

        schema = self.schema
        logit = network(self.t, self, x)
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = inputs, [logit]
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, []
        for builtin in self.codes:
            code = schema.OperatorCodeT()
            # The older field has one byte. What broadcasts began with version 2.
            code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
            code.version = 2 if builtin == schema.BuiltinOperator.BROADCAST_TO else 1
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def main():
    directory, model, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    graph = Onnx(Tensors(directory / f"{model}.safetensors"), rows).bytes()
    (directory / f"{model}.{rows}.onnx").write_bytes(graph)


if __name__ == "__main__":
    main()
