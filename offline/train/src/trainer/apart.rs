//! Refuses training and validation files that hold the same rows.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use adclick_data::setting::require;
use anyhow::{Context, Result};

/// Refuses a file given both to train and to validate, even under another name, through a link or as a copy.
pub(crate) fn apart(training: &[PathBuf], validation: &[PathBuf]) -> Result<()> {
    let missing = |path: &Path| format!("cannot read {}", path.display());
    for held_out in validation {
        let size = held_out.metadata().with_context(|| missing(held_out))?.len();
        for path in training {
            let same = path.metadata().with_context(|| missing(path))?.len() == size
                && (path.canonicalize().ok() == held_out.canonicalize().ok() || same_bytes(path, held_out)?);
            require!(
                !same,
                [Validation],
                "{} holds the same rows as {}, on which the model is trained: a model validates on rows that it was not \
                 trained on. Give others, or none to hold out a tenth",
                held_out.display(),
                path.display()
            );
        }
    }
    Ok(())
}

/// Whether two files of one size hold the same bytes.
fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let open = |path: &Path| {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(BufReader::with_capacity(1 << 20, file))
    };
    let (mut a, mut b) = (open(a)?, open(b)?);
    loop {
        let (left, right) = (a.fill_buf()?, b.fill_buf()?);
        let n = left.len().min(right.len());
        if n == 0 {
            return Ok(left.len() == right.len());
        }
        if left[..n] != right[..n] {
            return Ok(false);
        }
        a.consume(n);
        b.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_does_not_train_and_validate() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, text) in
            [("a.csv", "x,click\n1,0\n"), ("copy.csv", "x,click\n1,0\n"), ("other.csv", "x,click\n1,1\n")]
        {
            std::fs::write(path(name), text).unwrap();
        }
        std::fs::hard_link(path("a.csv"), path("link.csv")).unwrap();
        for same in ["a.csv", "copy.csv", "link.csv"] {
            let error = apart(&[path("other.csv"), path("a.csv")], &[path(same)]).unwrap_err().to_string();
            assert!(error.contains(same) && error.contains("same rows"), "{error}");
        }
        apart(&[path("a.csv")], &[path("other.csv")]).unwrap();
        let error = format!("{:#}", apart(&[path("a.csv")], &[path("none.csv")]).unwrap_err());
        assert!(error.contains("none.csv"), "{error}");
    }
}
