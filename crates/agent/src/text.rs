//! Text that may differ by language. Source: runtime.md R167.

use indexmap::IndexMap;

/// A line given once, or once per language (`{"en": "…", "hi": "…"}`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum LocalText {
    /// The same in every language.
    One(String),
    /// By language code, in the submitted order.
    ByLanguage(IndexMap<String, String>),
}

impl LocalText {
    /// The text for `language`, else for `en`, else the first that is not empty, else "".
    pub fn pick(&self, language: &str) -> &str {
        match self {
            Self::One(text) => text,
            Self::ByLanguage(texts) => [language, "en"]
                .iter()
                .filter_map(|code| texts.get(*code))
                .chain(texts.values())
                .map(String::as_str)
                .find(|text| !text.is_empty())
                .unwrap_or_default(),
        }
    }
}
