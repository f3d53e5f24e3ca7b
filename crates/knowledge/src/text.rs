//! The text of a document. Reading a PDF may take long and may panic: for a thread that bears both.

/// Characters of a document that are read; the rest is cut off with an error, so that nobody takes half a
/// document for the whole.
const LONGEST: usize = 5_000_000;
/// Pages of a PDF.
const PAGES: usize = 5_000;
/// Columns of a page of text: no line of it is broken.
const WIDTH: usize = 10_000;

/// Why a document has no text here, in words for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Whether bytes begin as a PDF does.
pub fn is_pdf(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    head.windows(5).any(|window| window == b"%PDF-")
}

/// The text of a PDF.
pub fn of_pdf(bytes: &[u8]) -> Result<String, Unreadable> {
    let broken = |cause: lopdf::Error| Unreadable(format!("the PDF can't be read: {cause}"));
    let document = lopdf::Document::load_mem(bytes).map_err(broken)?;
    let pages: Vec<u32> = document.get_pages().into_keys().collect();
    if pages.len() > PAGES {
        return Err(Unreadable(format!(
            "the PDF has more than {PAGES} pages: split it"
        )));
    }
    let text = document.extract_text(&pages).map_err(broken)?;
    checked(
        text,
        "the PDF holds no text: perhaps it is a scan, which can't be read",
    )
}

/// The text of a web page, without what only makes it look so.
pub fn of_html(bytes: &[u8]) -> Result<String, Unreadable> {
    let text = html2text::config::plain_no_decorate()
        .allow_width_overflow()
        .string_from_read(bytes, WIDTH)
        .map_err(|cause| Unreadable(format!("the page can't be read: {cause}")))?;
    checked(text, "the page holds no text")
}

/// Text that is nothing else.
pub fn of_plain(bytes: &[u8]) -> Result<String, Unreadable> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    checked(text, "the document holds no text")
}

fn checked(text: String, empty: &str) -> Result<String, Unreadable> {
    if !text.chars().any(char::is_alphanumeric) {
        return Err(Unreadable(empty.to_owned()));
    }
    if text.len() > LONGEST {
        return Err(Unreadable(format!(
            "the text is longer than {LONGEST} bytes: split the document"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_page_is_read_without_its_scripts() {
        let page = b"<html><head><title>T</title><style>p { color: red }</style></head><body>\
            <script>alert('no')</script><h1>Opening hours</h1><p>We open at <b>nine</b> &amp; close at \
            six.</p><ul><li>Sunday: closed</li></ul></body></html>";
        let text = of_html(page).unwrap();
        for there in [
            "Opening hours",
            "We open at nine & close at six.",
            "Sunday: closed",
        ] {
            assert!(text.contains(there), "{there} is not in {text:?}");
        }
        assert!(
            !text.contains("alert") && !text.contains("color"),
            "{text:?}"
        );
    }

    #[test]
    fn what_holds_no_text_says_so() {
        assert!(
            of_html(b"<p> - </p>")
                .unwrap_err()
                .to_string()
                .contains("no text")
        );
        assert!(of_plain(b"").is_err());
        assert!(
            of_pdf(b"%PDF-1.4 nonsense")
                .unwrap_err()
                .to_string()
                .contains("PDF")
        );
        assert!(is_pdf(b"\n%PDF-1.7") && !is_pdf(b"PK\x03\x04") && !is_pdf(b""));
    }
}
