//! Room for thoughts: vendors count them into the limit of an answer, which an agent means for what is said.
//! Without it a model that thinks uses up the limit and says nothing.

/// A limit is not raised above this, lest a model refuses it.
const MOST: u32 = 32_768;

/// The limit to send for an answer of so many tokens; `effort`: how much is thought before it, `None` not
/// at all.
pub(super) fn with_thoughts(tokens: u32, effort: Option<&str>) -> u32 {
    let thoughts = match effort {
        None | Some("none") => 0,
        Some("minimal") => 512,
        Some("low") => 2048,
        Some("medium") => 8192,
        Some(_) => 24_576,
    };
    tokens.saturating_add(thoughts).min(tokens.max(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_grows_by_what_is_thought() {
        assert_eq!(with_thoughts(20, None), 20);
        assert_eq!(with_thoughts(20, Some("none")), 20);
        assert_eq!(with_thoughts(100, Some("low")), 2148);
        assert_eq!(with_thoughts(30_000, Some("high")), MOST);
        assert_eq!(with_thoughts(60_000, Some("low")), 60_000);
    }
}
