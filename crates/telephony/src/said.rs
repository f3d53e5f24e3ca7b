//! Lines in a carrier's own voice.

/// Said by the carrier, without our media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is said.
    pub text: String,
    /// Whose voice; `None` = the carrier's usual one, which is an American's.
    pub voice: Option<Voice>,
}

/// A voice of a carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voice {
    /// By the carrier's name of it: `Polly.Joanna`.
    Named(String),
    /// One that speaks this language, as agents name it (`hi`, `en-IN`). The usual one where the carrier has none.
    Speaks(String),
}

/// The first of `known` that is the language, else the first of its kin: `hi` is `hi-IN`, and `de-CH` is `de-DE`.
pub(crate) fn closest<'a>(language: &str, known: &[&'a str]) -> Option<&'a str> {
    let language = language.replace('_', "-");
    let exact = |code: &&&str| code.eq_ignore_ascii_case(&language);
    let kin = |code: &&&str| base(code).eq_ignore_ascii_case(of_carriers(base(&language)));
    let mut found = known.iter().find(exact);
    found = found.or_else(|| known.iter().find(kin));
    found.copied()
}

/// `hi` of `hi-IN`.
fn base(language: &str) -> &str {
    language.split('-').next().unwrap_or_default()
}

/// What agents call otherwise.
fn of_carriers(language: &str) -> &str {
    match language {
        "zh" => "cmn",
        "no" => "nb",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_language_is_itself_or_its_closest_kin() {
        let known = ["en-US", "en-GB", "hi-IN", "cmn-CN"];
        for (asked, found) in [
            ("en", Some("en-US")),
            ("en-gb", Some("en-GB")),
            ("en_GB", Some("en-GB")),
            ("en-AU", Some("en-US")),
            ("hi", Some("hi-IN")),
            ("zh", Some("cmn-CN")),
            ("ta", None),
            ("multi", None),
            ("", None),
        ] {
            assert_eq!(closest(asked, &known), found, "{asked}");
        }
    }
}
