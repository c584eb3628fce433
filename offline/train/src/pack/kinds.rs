//! Recognises, by the names and shapes of tensors, parts of a network that the format cannot express.

/// Words in tensor names, and the parts that such tensors belong to.
const WORDS: [(&[&str], &str); 16] = [
    (&["cin"], "a compressed interaction network (CIN, as in xDeepFM)"),
    (&["fm", "ffm", "afm", "nfm", "fwfm", "fmfm"], "a factorisation machine's interactions (FM, as in DeepFM)"),
    (&["expert", "experts", "mmoe", "ple", "cgc"], "experts that gates mix (as in MMoE and PLE)"),
    (&["gate", "gates", "gating"], "gates (as in MMoE and PLE)"),
    (&["attention", "attentions", "attn", "mha", "query", "qkv", "transformer", "autoint"], "attention"),
    (&["gru", "augru", "lstm", "rnn"], "a recurrent network"),
    (&["conv", "convd", "convds", "cnn"], "a convolution"),
    (&["senet", "squeeze", "excitation"], "SENet's weights of fields (as in FiBiNET)"),
    (&["bilinear"], "bilinear interactions (as in FiBiNET)"),
    (&["product", "innerproduct", "outerproduct", "pnn"], "products between fields (as in PNN)"),
    (&["bot", "top"], "a DLRM's parts, between which stand dot products of embeddings"),
    (&["capsule", "capsules"], "capsules"),
    (&["mask", "maskblock", "masknet"], "masks of a MaskNet"),
    (&["dice", "alpha"], "the activation Dice"),
    (&["prelu"], "the activation PReLU"),
    (&["layernorm", "layer_norm", "ln", "rmsnorm", "groupnorm"], "LayerNorm"),
];

/// Names of roles, and of the parts of deepctr-torch whose roles they are.
const KNOWN: [&str; 12] = [
    "cross_layers.",
    "cross_v.",
    "cross_u.",
    "cross_w.",
    "cross_b.",
    "cross.",
    "output_layer.",
    "wide.",
    "single.",
    "multi.",
    "embeddings.",
    "embedding.",
];

/// The part that a tensor belongs to, if the format cannot express it.
pub(super) fn of(role: &str, shape: &[usize]) -> Option<&'static str> {
    if KNOWN.iter().any(|known| role.starts_with(known)) {
        return None;
    }
    if role.contains("activation_layers.") {
        let dice = role.ends_with("alpha") || role.contains(".bn.");
        return Some(if dice { "the activation Dice" } else { "the activation PReLU" });
    }
    let lower = role.to_ascii_lowercase();
    // `bot_l`, `top_l` and `emb_l` are names of DLRM's alone; the words in them are not.
    let is = |word: &str, dlrm: bool| {
        if dlrm { lower.starts_with(&format!("{word}_l.")) } else { words(&lower).any(|w| w == word) }
    };
    let found = WORDS.iter().find(|(words, what)| words.iter().any(|word| is(word, what.contains("DLRM"))));
    found.map(|(_, what)| *what).or((shape.len() == 3).then_some("a convolution or another layer of three axes"))
}

/// The kind of a module that has a `weight` of this shape and is neither a Linear nor a BatchNorm with running
/// statistics.
pub(super) fn of_module(shape: &[usize], has_bias: bool, inputs: Option<usize>) -> &'static str {
    match shape {
        [1] => "the activation PReLU",
        [n] if inputs == Some(*n) && has_bias => "LayerNorm (or a BatchNorm without running statistics)",
        [n] if inputs == Some(*n) => "PReLU with a parameter for each unit, RMSNorm, or LayerNorm without a bias",
        [_, _, _] => "a convolution",
        _ => "no layer that is known: LayerNorm, PReLU and the like",
    }
}

/// The words of a name, without the digits at their ends.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let parts = name.split(['.', '_', '-', '/']).map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    // "conv1ds" and "conv2d".
    let inner = |word| if matches!(word, "conv1d" | "conv2d" | "conv1ds" | "conv2ds") { "conv" } else { word };
    let whole = name.split('.').filter(|word| *word == "layer_norm");
    parts.map(inner).chain(whole)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn kinds_are_told_by_words_not_by_letters() {
        for (name, what) in [
            ("cin.conv1ds.0.weight", "CIN"),
            ("experts.3.0.weight", "MMoE"),
            ("expert_dnn.0.linears.0.weight", "MMoE"),
            ("gate_dnn_final_layer.0.weight", "gates"),
            ("bot_l.0.weight", "DLRM"),
            ("self_attn.out_proj.weight", "attention"),
            ("encoder.conv2.weight", "convolution"),
            ("dnn.activation_layers.0.alpha", "Dice"),
            ("dnn.activation_layers.0.weight", "PReLU"),
            ("layer_norm.weight", "LayerNorm"),
        ] {
            assert!(of(name, &[4]).is_some_and(|found| found.contains(what)), "{name}: {:?}", of(name, &[4]));
        }
        for name in
            ["dnn.0.weight", "embeddings.gate.weight", "cross.gating.0.weight", "bottom.0.weight", "topic.weight"]
        {
            assert_eq!(of(name, &[4, 4]), None, "{name}");
        }
    }
}
