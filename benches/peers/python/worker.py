"""A peer in a process of its own, told what to do line by line on standard input.

    worker.py PEER DIRECTORY

    hello                   loads the library: its name and version
    case MODEL ROWS         loads DIRECTORY/MODEL.safetensors for so many rows, with DIRECTORY/MODEL.ROWS.rows as input
    outputs                 runs once: the logits
    time WARM CALLS CLOCK   runs WARM times, then CALLS times: nanoseconds of each of these, by the `wall` clock or by what
                            the process used of the `cpu`

Every answer is one line: `ok` and the numbers asked for, or `error` and the reason.
"""

import gc
import os
import sys
import time
from pathlib import Path

import numpy

import graphs


class OnnxRuntime:
    split = False

    def __init__(self):
        import onnxruntime

        self.library = onnxruntime
        self.version = f"ONNX Runtime {onnxruntime.__version__}"

    def load(self, tensors, x):
        options = self.library.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = self.library.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self.library.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = graphs.Onnx(tensors, len(x), self.split).bytes()
        session = self.library.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.session = session
        binding = session.io_binding()
        inputs = {"x": x}
        if self.split:
            request = tensors.request
            inputs |= {"request": x[:1, :request].copy(), "rest": x[:, request:].copy()}
        value = self.library.OrtValue.ortvalue_from_numpy
        # They point to these arrays and must outlive the binding.
        self.bound = {name: value(values) for name, values in inputs.items()}
        for name, values in self.bound.items():
            binding.bind_ortvalue_input(name, values)
        logits = value(numpy.zeros((len(x), 1), numpy.float32))
        binding.bind_ortvalue_output("logit", logits)
        # What `InferenceSession.run_with_iobinding` calls, without its wrapper.
        run, bound = session._sess.run_with_iobinding, binding._iobinding
        return lambda: run(bound, None), logits.numpy


class OnnxRuntimeRun(OnnxRuntime):
    """As most programs call it: arrays in, arrays out."""

    def load(self, tensors, x):
        super().load(tensors, x)
        session, inputs = self.session, {"x": x}
        return lambda: session.run(["logit"], inputs), lambda: session.run(["logit"], inputs)[0]


class OnnxRuntimeSplit(OnnxRuntime):
    split = True


class LiteRt:
    def __init__(self):
        import ai_edge_litert
        from ai_edge_litert import interpreter

        self.library = interpreter
        self.version = f"LiteRT {ai_edge_litert.__version__}"

    def load(self, tensors, x):
        # The interpreter hands the graph to XNNPACK by itself.
        content = graphs.LiteRt(tensors, len(x)).bytes()
        interpreter = self.library.Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        output = interpreter.get_output_details()[0]["index"]
        return interpreter.invoke, lambda: interpreter.get_tensor(output)


class OpenVino:
    precision = "f32"

    def __init__(self):
        import openvino

        self.library = openvino
        self.version = f"OpenVINO {openvino.__version__.split('-')[0]}"

    def load(self, tensors, x):
        core = self.library.Core()
        model = core.read_model(graphs.Onnx(tensors, len(x)).bytes())
        wanted = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(model, "CPU", wanted)
        has = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if has != self.precision:
            raise RuntimeError(f"this CPU computes in {has} when {self.precision} is asked for")
        request = compiled.create_infer_request()
        request.set_input_tensor(self.library.Tensor(x, shared_memory=True))
        output = request.get_output_tensor()
        # Faster than `start_async` and `wait`.
        return request.infer, lambda: output.data.copy()


class OpenVinoBf16(OpenVino):
    precision = "bf16"


PEERS = {
    "onnxruntime": OnnxRuntime,
    "onnxruntime-run": OnnxRuntimeRun,
    "onnxruntime-split": OnnxRuntimeSplit,
    "litert": LiteRt,
    "openvino-f32": OpenVino,
    "openvino-bf16": OpenVinoBf16,
}


CLOCKS = {"wall": time.perf_counter_ns, "cpu": time.process_time_ns}


def timed(run, warm, calls, clock):
    times = [0] * calls
    for _ in range(warm):
        run()
    for i in range(calls):
        begin = clock()
        run()
        times[i] = clock() - begin
    return times


def main():
    name, directory = sys.argv[1], Path(sys.argv[2])
    # A line that a library prints must not pass for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    gc.disable()

    peer = run = outputs = None
    for line in sys.stdin:
        try:
            words = line.split()
            if words[0] == "hello":
                peer = PEERS[name]()
                print("ok", peer.version, file=answers)
            elif words[0] == "case":
                model, rows = words[1], int(words[2])
                run = outputs = None
                gc.collect()
                tensors = graphs.Tensors(directory / f"{model}.safetensors")
                x = numpy.fromfile(directory / f"{model}.{rows}.rows", numpy.float32).reshape(rows, tensors.width)
                run, outputs = peer.load(tensors, x)
                print("ok", file=answers)
            elif words[0] == "outputs":
                run()
                print("ok", *(repr(float(value)) for value in outputs().ravel()), file=answers)
            elif words[0] == "time":
                print("ok", *timed(run, int(words[1]), int(words[2]), CLOCKS[words[3]]), file=answers)
            else:
                raise ValueError(f"no command {words[0]}")
        except Exception as error:  # whatever a library raises is the answer
            print("error", f"{type(error).__name__}: {error}".replace("\n", " "), file=answers)


if __name__ == "__main__":
    main()
