//! YAML documents of a known form, with errors that say where.

use serde::de::DeserializeOwned;
use thiserror::Error;

/// A text that is not YAML, or not of the form that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong there.
    pub message: String,
}

/// Reads one document.
///
/// # Errors
/// When the text is not YAML or not of this form.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let at = error.location();
        let message = error.without_snippet().to_string();
        YamlError {
            line: at.map_or(1, |at| at.line()),
            column: at.map_or(1, |at| at.column()),
            // The place is told once, and not again at the end of the text.
            message: message.split(" at line ").next().unwrap_or(&message).to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Form {
        count: u8,
    }

    #[test]
    fn errors_say_where_once() {
        assert_eq!(read::<Form>("count: 3"), Ok(Form { count: 3 }));
        let error = read::<Form>("# a comment\ncuont: 3").unwrap_err();
        assert_eq!((error.line, error.column), (2, 1));
        assert!(error.message.contains("unknown field `cuont`") && !error.message.contains("line 2"), "{error}");
        assert_eq!(read::<Form>("count: 300").unwrap_err().line, 1);
    }
}
