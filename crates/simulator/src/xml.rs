//! As much XML as an answer document, or a text to be spoken, needs: elements, attributes, text, entities,
//! comments, CDATA.
//! No DTD: a document that has one is refused, as carriers do.

use std::collections::BTreeMap;

/// An element with what is in it. Text of all its text nodes is joined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Element {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// Reads a whole document. The message says what is wrong and where (byte offset).
pub(crate) fn parse(document: &str) -> Result<Element, String> {
    let mut parser = Parser {
        text: document,
        at: 0,
    };
    parser.skip_prolog()?;
    let root = parser.element(0)?;
    parser.skip_prolog()?;
    if parser.at < document.len() {
        return Err(parser.fault("text after the root element"));
    }
    Ok(root)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fault(&self, what: &str) -> String {
        format!("{what} at byte {}", self.at)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let rest = self.rest();
        let length = rest
            .find(end)
            .ok_or_else(|| self.fault(&format!("missing `{end}`")))?;
        self.at += length + end.len();
        Ok(&rest[..length])
    }

    fn skip_prolog(&mut self) -> Result<(), String> {
        self.take("\u{feff}");
        loop {
            self.skip_space();
            if self.take("<?") {
                self.until("?>")?;
            } else if self.take("<!--") {
                self.until("-->")?;
            } else if self.rest().starts_with("<!") {
                return Err(self.fault("document type declarations are not taken"));
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || "_-.:".contains(c)))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(self.fault("expected a name"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn element(&mut self, depth: usize) -> Result<Element, String> {
        if depth > 16 {
            return Err(self.fault("nested too deep"));
        }
        if !self.take("<") {
            return Err(self.fault("expected `<`"));
        }
        let mut element = Element {
            name: self.name()?,
            ..Element::default()
        };
        loop {
            self.skip_space();
            if self.take("/>") {
                return Ok(element);
            }
            if self.take(">") {
                break;
            }
            let name = self.name()?;
            self.skip_space();
            if !self.take("=") {
                return Err(self.fault("expected `=`"));
            }
            self.skip_space();
            let quote = if self.take("\"") {
                "\""
            } else if self.take("'") {
                "'"
            } else {
                return Err(self.fault("expected a quoted value"));
            };
            let value = unescape(self.until(quote)?)?;
            if element.attributes.insert(name, value).is_some() {
                return Err(self.fault("attribute given twice"));
            }
        }
        self.content(&mut element, depth)?;
        Ok(element)
    }

    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), String> {
        loop {
            if self.take("<!--") {
                self.until("-->")?;
            } else if self.take("<![CDATA[") {
                element.text.push_str(self.until("]]>")?);
            } else if self.take("</") {
                let name = self.name()?;
                self.skip_space();
                if name != element.name || !self.take(">") {
                    return Err(self.fault(&format!("expected `</{}>`", element.name)));
                }
                return Ok(());
            } else if self.rest().starts_with('<') {
                element.children.push(self.element(depth + 1)?);
            } else {
                let rest = self.rest();
                let end = rest
                    .find('<')
                    .ok_or_else(|| self.fault(&format!("`{}` never ends", element.name)))?;
                element.text.push_str(&unescape(&rest[..end])?);
                self.at += end;
            }
        }
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        let tail = &rest[start + 1..];
        let end = tail
            .find(';')
            .ok_or_else(|| format!("bare `&` in `{text}`"))?;
        let code = match &tail[..end] {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            entity => match entity.strip_prefix("#x") {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => entity
                    .strip_prefix('#')
                    .and_then(|number| number.parse().ok()),
            }
            .and_then(char::from_u32),
        };
        out.push(code.ok_or_else(|| format!("unknown entity `&{};`", &tail[..end]))?);
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_document_with_everything() {
        let root = parse(
            "<?xml version=\"1.0\"?>\n<!-- hi --><Response a='1 &amp; 2'><Say>x &lt; <![CDATA[<y>]]>&#33;</Say><Hangup /></Response>\n",
        )
        .unwrap();
        assert_eq!(root.attribute("a"), Some("1 & 2"));
        assert_eq!(root.children[0].text, "x < <y>!");
        assert_eq!(root.children[1].name, "Hangup");
    }

    #[test]
    fn faults_say_where() {
        for (document, fault) in [
            ("<a><b></a>", "expected `</b>` at byte 9"),
            ("<a b=1/>", "expected a quoted value at byte 5"),
            ("<a>x & y</a>", "bare `&` in `x & y`"),
            (
                "<!DOCTYPE a><a/>",
                "document type declarations are not taken at byte 0",
            ),
            ("", "expected `<` at byte 0"),
            ("<a/><b/>", "text after the root element at byte 4"),
        ] {
            assert_eq!(parse(document).unwrap_err(), fault, "{document}");
        }
    }
}
