//! Names of tensors: patterns, wrappers, and the names that other libraries give.

use adclick_data::schema_file::PLACEHOLDERS;

/// Wrappers that put their name before every tensor's.
const PREFIXES: [&str; 4] = ["module.", "model.", "backbone.", "_orig_mod."];

/// Names in deepctr-torch and FuxiCTR, and their roles here.
const LIBRARIES: [(&str, &str); 27] = [
    ("embedding_dict.{name}.weight", "embeddings.{name}.weight"),
    ("linear_model.embedding_dict.{name}.weight", "wide.{name}.weight"),
    ("linear_model.weight", "linear.weight"),
    ("dnn_linear.weight", "output_layer.weight"),
    ("out.weight", "output_layer.weight"),
    ("out.bias", "bias"),
    ("crossnet.kernels", "cross.kernels"),
    ("crossnet.bias", "cross.bias"),
    ("crossnet.U_list", "cross.U_list"),
    ("crossnet.V_list", "cross.V_list"),
    ("crossnet.C_list", "cross.C_list"),
    ("crossnet.gating.{i}.weight", "cross.gating.{i}.weight"),
    ("crossnet.U_list.{i}", "cross.U_list.{i}"),
    ("crossnet.V_list.{i}", "cross.V_list.{i}"),
    ("crossnet.C_list.{i}", "cross.C_list.{i}"),
    ("crossnet.bias.{i}", "cross.bias.{i}"),
    ("crossnet.cross_layers.{i}.weight", "cross_layers.{i}.weight"),
    ("crossnet.cross_layers.{i}.bias", "cross_layers.{i}.bias"),
    ("crossnet.cross_net.{i}.weight.weight", "cross_w.{i}"),
    ("crossnet.cross_net.{i}.bias", "cross_b.{i}"),
    ("embedding_layer.embedding_layer.embedding_layers.{name}.weight", "embeddings.{name}.weight"),
    ("lr_layer.embedding_layer.embedding_layer.embedding_layers.{name}.weight", "wide.{name}.weight"),
    ("lr_layer.bias", "bias"),
    ("dnn.mlp.{i}.{name}", "dnn.{i}.{name}"),
    ("stacked_dnn.mlp.{i}.{name}", "stacked_dnn.{i}.{name}"),
    ("parallel_dnn.mlp.{i}.{name}", "parallel_dnn.{i}.{name}"),
    ("fc.{name}", "output_layer.{name}"),
];

/// The name without the wrappers' prefixes.
pub(super) fn strip(name: &str) -> &str {
    let mut rest = name;
    while let Some(shorter) = PREFIXES.iter().find_map(|p| rest.strip_prefix(p)) {
        rest = shorter;
    }
    rest
}

/// The role of a library's name.
pub(super) fn of_library(name: &str) -> Option<String> {
    LIBRARIES.iter().find_map(|(pattern, role)| rename(pattern, role, name))
}

/// The role of `name` if it matches `pattern`, with the placeholders filled in.
pub(super) fn rename(pattern: &str, role: &str, name: &str) -> Option<String> {
    let mut found = Vec::new();
    matches(pattern, name, &mut found).then(|| {
        let put = |role: String, (placeholder, text): &(&str, &str)| role.replace(placeholder, text);
        found.iter().fold(role.to_owned(), put)
    })
}

/// Whether the whole of `name` matches; `found` receives the text of each placeholder.
fn matches<'a>(pattern: &'a str, name: &'a str, found: &mut Vec<(&'a str, &'a str)>) -> bool {
    let next = PLACEHOLDERS.iter().filter_map(|p| Some((pattern.find(p)?, *p))).min();
    let Some((at, placeholder)) = next else { return pattern == name };
    let Some(rest) = name.strip_prefix(&pattern[..at]) else { return false };
    let digits = placeholder == PLACEHOLDERS[0];
    let fits = |c: char| if digits { c.is_ascii_digit() } else { c != '.' };
    let longest = rest.find(|c| !fits(c)).unwrap_or(rest.len());
    // The longest text first; a shorter one when the rest of the pattern begins with the same characters.
    (1..=longest).rev().filter(|&end| rest.is_char_boundary(end)).any(|end| {
        found.push((placeholder, &rest[..end]));
        let all = matches(&pattern[at + placeholder.len()..], &rest[end..], found);
        if !all {
            found.pop();
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_numbers_and_names() {
        let role = |pattern, role, name| rename(pattern, role, name);
        assert_eq!(role("fc{i}.weight", "dnn.{i}.weight", "fc12.weight").unwrap(), "dnn.12.weight");
        assert_eq!(role("fc{i}.weight", "dnn.{i}.weight", "fcx.weight"), None);
        assert_eq!(
            role("e.{name}.weight", "single.{name}.weight", "e.user id.weight").unwrap(),
            "single.user id.weight"
        );
        assert_eq!(role("e.{name}.weight", "single.{name}.weight", "e.a.b.weight"), None);
        assert_eq!(role("{name}_emb", "single.{name}.weight", "ad_emb_emb").unwrap(), "single.ad_emb.weight");
        assert_eq!(role("{name}.l{i}.w", "{name}.{i}.weight", "ctr_tower.l2.w").unwrap(), "ctr_tower.2.weight");
        assert_eq!(role("plain", "bias", "plain").unwrap(), "bias");
        assert_eq!(role("plain", "bias", "plainer"), None);
        assert_eq!(of_library("crossnet.cross_net.3.weight.weight").unwrap(), "cross_w.3");
    }
}
