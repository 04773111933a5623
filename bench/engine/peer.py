"""The other side of bench-engine: PyTorch with transformers' own PatchTST, and ONNX Runtime.

Requests come in on standard input, a JSON object a line, and each is answered
by a line on standard output. The Go program beside this file sends them:

    {"do": "train", "model": FOLDER, "series": FILE, "batch": N, "mode": {...}}  get ready to train
    {"do": "check"}                  the losses of three steps on the first N windows
    {"do": "work", "n": STEPS}       so many steps: how long they took
    {"do": "forecast", "model": FOLDER, "series": FILE, "mode": {...}}  get ready to forecast by ONNX Runtime
    {"do": "memory"}                 bytes resident now

A mode is {"threads": N, "attention": "sdpa" or "eager", "bf16": bool,
"compile": bool, "cpp": bool}. Nothing that could be done beforehand counts as
time: batches are gathered, graphs compiled, and memory is warm.
"""
import copy
import json
import os
import sys
import tempfile
import time

import numpy as np

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever libraries print goes to standard error

BATCHES = 8  # different ones, taken in turn


class Training:
    def __init__(self, request):
        import torch
        from transformers import PatchTSTForPrediction

        mode = request["mode"]
        torch.set_num_threads(mode["threads"])
        torch.set_num_interop_threads(1)
        torch.manual_seed(1)
        self.torch, self.mode = torch, mode
        self.model = PatchTSTForPrediction.from_pretrained(request["model"], attn_implementation=mode["attention"]).train()
        if self.model.config.positional_encoding_type == "sincos":
            # A fixed table, which transformers 5 forgets when it loads a model.
            self.model.model.encoder.positional_encoder.position_enc.requires_grad_(False)
        self.start = copy.deepcopy(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        c = self.model.config
        series = torch.from_numpy(np.fromfile(request["series"], dtype=np.float32).reshape(-1, c.num_input_channels))
        back, ahead, n = c.context_length, c.prediction_length, request["batch"]

        def gather(starts):
            past = torch.stack([series[s:s + back] for s in starts])
            return past, torch.stack([series[s + back:s + back + ahead] for s in starts])

        places = np.random.default_rng(1).integers(0, len(series) - back - ahead, (BATCHES, n))
        self.first, self.batches = gather(range(n)), [gather(starts) for starts in places]
        self.loss = self.of_batch
        if mode["compile"]:
            if mode["cpp"]:
                import torch._inductor.config
                torch._inductor.config.cpp_wrapper = True
            self.loss = torch.compile(self.of_batch, dynamic=False)
        self.taken = 0

    def of_batch(self, past, future):
        with self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=self.mode["bf16"]):
            return self.model(past_values=past, future_values=future).loss

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(*batch)
        loss.backward()
        self.optimizer.step()
        return loss

    def check(self, _):
        losses = [self.step(self.first).item() for _ in range(3)]
        self.model.load_state_dict(self.start)
        return {"losses": losses}

    def work(self, request):
        began = time.perf_counter()
        for _ in range(request["n"]):
            self.step(self.batches[self.taken % BATCHES])
            self.taken += 1
        return {"seconds": time.perf_counter() - began}


class Forecasting:
    def __init__(self, request):
        import onnxruntime
        import torch
        from transformers import PatchTSTForPrediction

        model = PatchTSTForPrediction.from_pretrained(request["model"], attn_implementation="eager").eval()
        c = model.config

        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, past):
                return self.model(past_values=past).prediction_outputs

        series = np.fromfile(request["series"], dtype=np.float32).reshape(-1, c.num_input_channels)
        self.past = np.ascontiguousarray(series[None, :c.context_length])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            with torch.no_grad():
                torch.onnx.export(Plain().eval(), (torch.from_numpy(self.past),), path, input_names=["past"], dynamo=True)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = request["mode"]["threads"]
            options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self):
        return self.session.run(None, {"past": self.past})[0]

    def check(self, _):
        return {"forecast": self.run().reshape(-1).tolist()}

    def work(self, request):
        began = time.perf_counter()
        for _ in range(request["n"]):
            self.run()
        return {"seconds": time.perf_counter() - began}


def memory():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return {"bytes": int(line.split()[1]) * 1024}


def versions():
    import onnxruntime
    import torch
    import transformers
    return {"text": f"torch {torch.__version__}, transformers {transformers.__version__}, onnxruntime {onnxruntime.__version__}"}


job = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        match request["do"]:
            case "train":
                job, answer = Training(request), {}
            case "forecast":
                job, answer = Forecasting(request), {}
            case "check":
                answer = job.check(request)
            case "work":
                answer = job.work(request)
            case "memory":
                answer = memory()
            case "versions":
                answer = versions()
            case other:
                answer = {"error": f"unknown request {other}"}
    except Exception as err:  # told to the driver, which goes on with the others
        answer = {"error": f"{type(err).__name__}: {err}"[:500]}
    print(json.dumps(answer), file=answers, flush=True)
