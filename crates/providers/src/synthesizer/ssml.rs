//! Plain text inside SSML.

/// As XML's text and attributes take it; what XML can't hold is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_text_can_leave_its_element() {
        assert_eq!(
            escaped("a < b & \"c\"\u{1}</voice>\n'd'"),
            "a &lt; b &amp; &quot;c&quot;&lt;/voice&gt; &apos;d&apos;"
        );
    }
}
