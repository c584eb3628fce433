"""Gradients of small networks, computed by PyTorch in f64: python gradients.py > tests/golden/training/gradients.json"""
import json, torch
torch.manual_seed(7); torch.set_default_dtype(torch.float64)
D, B = 7, 5
def net(structure, cross, hidden, towers):
    P = []
    def par(*shape, vec=False):
        t = (torch.randn(*shape) * (0.3 if not vec else 0.1)).float().double().requires_grad_(); P.append((t, vec)); return t
    x0 = torch.randn(B, D).float().double().requires_grad_(); x = x0
    for c in cross:
        if c == "full": w = par(D, D); b = par(1, D, vec=True); x = x0 * (x @ w.T + b) + x
        elif c == "vector": w = par(1, D); b = par(1, D, vec=True); x = x0 * (x @ w.T) + b + x
        elif c.startswith("lowrank"):
            r = int(c[8:]); v = par(r, D); u = par(D, r); b = par(1, D, vec=True); x = x0 * (x @ v.T @ u.T + b) + x
        else:
            _, e, r = c.split(":"); e, r = int(e), int(r); g = par(e, D); ex = [(par(r, D), par(r, r), par(D, r)) for _ in range(e)]; b = par(1, D, vec=True)
            gate = torch.softmax(x @ g.T, 1)
            x = x0 * (sum(gate[:, i:i + 1] * (torch.tanh(torch.tanh(x @ v.T) @ c_.T) @ u.T) for i, (v, c_, u) in enumerate(ex)) + b) + x
    h, n = (x, D) if structure == "stacked" else (x0, D)
    for w_ in hidden:
        w = par(w_, n); b = par(1, w_, vec=True); h = torch.relu(h @ w.T + b); n = w_
    trunk = x if not hidden else (torch.cat([x, h], 1) if structure == "parallel" and cross else h)
    logits = []
    for t in towers:
        z, n = trunk, trunk.shape[1]
        for w_ in t:
            w = par(w_, n); b = par(1, w_, vec=True); z = torch.relu(z @ w.T + b); n = w_
        w = par(1, n); b = par(1, 1, vec=True); logits.append(z @ w.T + b)
    logits = torch.cat(logits, 1); d = torch.randn_like(logits).float().double()
    (logits * d).sum().backward()
    flat = lambda t: [float(f"{v:.9g}") for v in t.flatten().tolist()]
    return dict(structure=structure, cross=cross, hidden=hidden, towers=towers, width=D, x=flat(x0), dlogits=flat(d), logits=flat(logits.detach()), dx=flat(x0.grad),
                params=[dict(rows=t.shape[0], cols=t.shape[1], is_matrix=not v, data=flat(t.detach()), gradient=flat(t.grad)) for t, v in P])
cases = [net("parallel", ["lowrank:3", "lowrank:1"], [6, 4], [[]]), net("parallel", ["full", "vector"], [5], [[], [3]]), net("stacked", ["mix:3:2", "full"], [4, 1], [[4, 3], []]),
         net("parallel", [], [6], [[]]), net("parallel", ["mix:1:2"], [], [[]])]
print(json.dumps(cases, separators=(",", ":")))
