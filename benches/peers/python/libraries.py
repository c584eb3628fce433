"""The peers' libraries, each set to one thread and its best."""


class OnnxRuntime:
    def __init__(self):
        import onnxruntime

        self.library = onnxruntime
        self.version = f"ONNX Runtime {onnxruntime.__version__}"

    def session(self, graph):
        options = self.library.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = self.library.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self.library.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return self.library.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def bound(self, session, inputs, logits):
        """What runs the session on these arrays, and gives the logits."""
        binding = session.io_binding()
        value = self.library.OrtValue.ortvalue_from_numpy
        # They point to these arrays and must outlive the binding.
        self.values = {name: value(values) for name, values in inputs.items()}
        for name, values in self.values.items():
            binding.bind_ortvalue_input(name, values)
        logits = value(logits)
        binding.bind_ortvalue_output("logit", logits)
        # What `InferenceSession.run_with_iobinding` calls, without its wrapper.
        run, bound = session._sess.run_with_iobinding, binding._iobinding
        return lambda: run(bound, None), logits.numpy


class LiteRt:
    def __init__(self):
        import ai_edge_litert
        from ai_edge_litert import interpreter

        self.library = interpreter
        self.version = f"LiteRT {ai_edge_litert.__version__}"

    def interpreter(self, content):
        # The interpreter hands the graph to XNNPACK by itself.
        interpreter = self.library.Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter


class OpenVino:
    precision = "f32"

    def __init__(self):
        import openvino

        self.library = openvino
        self.version = f"OpenVINO {openvino.__version__.split('-')[0]}"

    def request(self, graph, constants={}):
        """`constants`: what stands in the place of inputs, without a copy."""
        core = self.library.Core()
        model = core.read_model(graph)
        for parameter in model.get_parameters():
            values = constants.get(parameter.friendly_name)
            if values is not None:
                constant = self.library.op.Constant(values, shared_memory=True)
                parameter.output(0).replace(constant.output(0))
                model.remove_parameter(parameter)
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
        return compiled.create_infer_request()
