"""A peer in a process of its own, told what to do line by line on standard input.

    worker.py PEER DIRECTORY

    hello                   loads the library: its name and version
    case MODEL ROWS         loads DIRECTORY/MODEL.safetensors for so many rows, with DIRECTORY/MODEL.ROWS.rows as input
    case MODEL ROWS DRAW    the same with ids as input: see ids.py. Each call is for the next request, written beforehand
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
import ids
import libraries


class OnnxRuntime(libraries.OnnxRuntime):
    split = False

    def load(self, tensors, x):
        self.session_of_graph = self.session(graphs.Onnx(tensors, len(x), self.split).bytes())
        inputs = {"x": x}
        if self.split:
            request = tensors.request
            inputs |= {"request": x[:1, :request].copy(), "rest": x[:, request:].copy()}
        return self.bound(self.session_of_graph, inputs, numpy.zeros((len(x), 1), numpy.float32))


class OnnxRuntimeRun(OnnxRuntime):
    """As most programs call it: arrays in, arrays out."""

    def load(self, tensors, x):
        super().load(tensors, x)
        session, inputs = self.session_of_graph, {"x": x}
        return lambda: session.run(["logit"], inputs), lambda: session.run(["logit"], inputs)[0]


class OnnxRuntimeSplit(OnnxRuntime):
    split = True


class LiteRt(libraries.LiteRt):
    def load(self, tensors, x):
        interpreter = self.interpreter(graphs.LiteRt(tensors, len(x)).bytes())
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        output = interpreter.get_output_details()[0]["index"]
        return interpreter.invoke, lambda: interpreter.get_tensor(output)


class OpenVino(libraries.OpenVino):
    def load(self, tensors, x):
        request = self.request(graphs.Onnx(tensors, len(x)).bytes())
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
    "onnxruntime-ids": ids.OnnxRuntime,
    "onnxruntime-ids-one": ids.OnnxRuntimeOne,
    "onnxruntime-ids-split": ids.OnnxRuntimeSplit,
    "litert-ids": ids.LiteRt,
    "openvino-ids-f32": ids.OpenVino,
    "openvino-ids-bf16": ids.OpenVinoBf16,
    "torch-ids": ids.Torch,
    "torch-ids-compiled": ids.TorchCompiled,
}


CLOCKS = {"wall": time.perf_counter_ns, "cpu": time.process_time_ns}


def timed(run, warm, calls, clock, prepare):
    times = [0] * calls
    for _ in range(warm):
        prepare()
        run()
    for i in range(calls):
        prepare()
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

    peer = run = outputs = asked = tables = None
    for line in sys.stdin:
        try:
            words = line.split()
            if words[0] == "hello":
                peer = PEERS[name]()
                print("ok", peer.version, file=answers)
            elif words[0] == "case":
                model, rows = words[1], int(words[2])
                run = outputs = asked = None
                gc.collect()
                tensors = graphs.Tensors(directory / f"{model}.safetensors")
                if len(words) > 3:
                    # Tables are read once.
                    tables = tables or ids.Tables(directory, model)
                    asked = ids.Asked(directory, tables, model, rows, words[3])
                    run, outputs = peer.load(tensors, asked)
                else:
                    x = numpy.fromfile(directory / f"{model}.{rows}.rows", numpy.float32).reshape(rows, tensors.width)
                    run, outputs = peer.load(tensors, x)
                print("ok", file=answers)
            elif words[0] == "outputs":
                if asked:
                    asked.write(0)
                run()
                print("ok", *(repr(float(value)) for value in outputs().ravel()), file=answers)
            elif words[0] == "time":
                print("ok", *timed(run, int(words[1]), int(words[2]), CLOCKS[words[3]], asked.next if asked else lambda: None), file=answers)
            else:
                raise ValueError(f"no command {words[0]}")
        except Exception as error:  # whatever a library raises is the answer
            print("error", f"{type(error).__name__}: {error}".replace("\n", " "), file=answers)


if __name__ == "__main__":
    main()
