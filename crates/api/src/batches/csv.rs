//! Comma-separated values (RFC 4180), read row by row from a stream in bounded memory. Nothing in a file is
//! fatal: a row that can't be read is given out with its fault, and reading goes on behind it.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read at a time.
const BLOCK: usize = 64 * 1024;
/// Spreadsheets begin UTF-8 with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The longest row, bytes.
const LONGEST: usize = 64 * 1024;

/// One row.
#[derive(Debug, Default)]
pub struct Row {
    /// The line on which it begins, from 1.
    pub line: i64,
    /// Why its fields are not to be trusted.
    pub fault: Option<&'static str>,
    text: Vec<u8>,
    /// Where each field ends in `text`.
    ends: Vec<usize>,
}

impl Row {
    /// The fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (self.ends.iter().enumerate()).map(|(n, end)| {
            let begin = n.checked_sub(1).map_or(0, |n| self.ends[n]);
            &self.text[begin..*end]
        })
    }

    fn clear(&mut self, line: i64) {
        self.line = line;
        self.fault = None;
        self.text.clear();
        self.ends.clear();
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    FieldStart,
    Plain,
    Quoted,
    /// A quote within quotes: the end of the field, or half of a quote that is meant.
    Quote,
    /// Behind the end of a row that is too long, up to the end of the line.
    Lost,
}

/// Reads rows.
pub struct Rows<R> {
    input: R,
    block: Vec<u8>,
    /// What of `block` is read.
    done: usize,
    begun: bool,
    /// The line that is being read.
    line: i64,
    at: At,
    /// A carriage return ended the row: a line feed belongs to it.
    returned: bool,
}

impl<R: AsyncRead + Unpin> Rows<R> {
    /// Reads from here on.
    pub fn new(input: R) -> Self {
        Self {
            input,
            block: Vec::with_capacity(BLOCK),
            done: 0,
            begun: false,
            line: 1,
            at: At::FieldStart,
            returned: false,
        }
    }

    /// Reads the next row into `row`; `false` at the end. Empty lines are left out.
    pub async fn next(&mut self, row: &mut Row) -> std::io::Result<bool> {
        row.clear(self.line);
        self.at = At::FieldStart;
        loop {
            while let Some(byte) = self.block.get(self.done).copied() {
                self.done += 1;
                if self.take(byte, row) {
                    return Ok(true);
                }
            }
            if !self.refill().await? {
                break;
            }
        }
        if self.at == At::Quoted {
            row.fault = Some("a quote is opened and never closed");
        }
        let is_empty = self.at == At::FieldStart && row.ends.is_empty();
        row.end_field();
        Ok(!is_empty)
    }

    async fn refill(&mut self) -> std::io::Result<bool> {
        self.done = 0;
        self.block.clear();
        while self.input.read_buf(&mut self.block).await? > 0 {
            if self.begun || self.block.len() >= BYTE_ORDER_MARK.len() {
                break;
            }
        }
        if !self.begun && self.block.starts_with(BYTE_ORDER_MARK) {
            self.done = BYTE_ORDER_MARK.len();
        }
        self.begun = true;
        Ok(!self.block.is_empty())
    }

    /// Takes one byte in; whether it completes the row.
    fn take(&mut self, byte: u8, row: &mut Row) -> bool {
        if std::mem::take(&mut self.returned) && byte == b'\n' {
            row.line = self.line;
            return false;
        }
        let in_quotes = self.at == At::Quoted;
        if byte == b'\n' || byte == b'\r' && !in_quotes {
            self.line += 1;
        }
        match (self.at, byte) {
            (At::Quoted, b'"') => self.at = At::Quote,
            (At::Quoted, _) => self.keep(byte, row),
            (At::Quote, b'"') => {
                self.at = At::Quoted;
                self.keep(byte, row);
            }
            (_, b'\n' | b'\r') => {
                self.returned = byte == b'\r';
                if self.at == At::FieldStart && row.ends.is_empty() {
                    row.line = self.line;
                    return false;
                }
                row.end_field();
                return true;
            }
            (At::Lost, _) => {}
            (At::FieldStart, b'"') => self.at = At::Quoted,
            (_, b',') => {
                row.end_field();
                self.at = At::FieldStart;
                self.keep_short(row);
            }
            (_, _) => {
                self.at = At::Plain;
                self.keep(byte, row);
            }
        }
        false
    }

    fn keep(&mut self, byte: u8, row: &mut Row) {
        row.text.push(byte);
        self.keep_short(row);
    }

    /// What is too long is not kept any further; the next line is a row again.
    fn keep_short(&mut self, row: &mut Row) {
        if row.text.len() + row.ends.len() > LONGEST {
            row.fault = Some("longer than 64 KiB; is a quote not closed?");
            self.at = At::Lost;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Line, fields joined by `|`, fault.
    async fn rows(text: &[u8]) -> Vec<(i64, String, Option<&'static str>)> {
        let (mut rows, mut row, mut all) = (Rows::new(text), Row::default(), Vec::new());
        while rows.next(&mut row).await.unwrap() {
            let fields: Vec<_> = row.fields().map(String::from_utf8_lossy).collect();
            all.push((row.line, fields.join("|"), row.fault));
        }
        all
    }

    async fn fields(text: &str) -> Vec<(i64, String)> {
        let rows = rows(text.as_bytes()).await;
        rows.into_iter()
            .map(|(line, text, _)| (line, text))
            .collect()
    }

    fn expected(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
        rows.iter()
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn rows_end_with_any_line_end_or_none() {
        for text in ["a,b\n1,2\n", "a,b\r\n1,2\r\n", "a,b\r1,2\r", "a,b\n1,2"] {
            let wanted = expected(&[(1, "a|b"), (2, "1|2")]);
            assert_eq!(fields(text).await, wanted, "{text:?}");
        }
        let wanted = expected(&[(3, "a|b"), (5, "1|")]);
        assert_eq!(fields("\n\r\na,b\r\n\r\n1,").await, wanted);
        assert_eq!(fields("").await, []);
        assert_eq!(fields(",").await, expected(&[(1, "|")]));
        assert_eq!(fields("\"\"").await, expected(&[(1, "")]));
    }

    #[tokio::test]
    async fn quotes_hold_commas_quotes_and_lines() {
        let text = "\"a, b\",\"say \"\"hi\"\"\",\"two\r\nlines\"\r\nx,5\" pipe,\"q\"z\r\n";
        let wanted = expected(&[(1, "a, b|say \"hi\"|two\r\nlines"), (3, "x|5\" pipe|qz")]);
        assert_eq!(fields(text).await, wanted);
    }

    #[tokio::test]
    async fn an_open_quote_takes_64_kib_and_not_the_file() {
        let mut text = "a\n\"open\n".to_owned();
        let lines = 20_000;
        for n in 0..lines {
            text.push_str(&format!("{n:05}\n"));
        }
        let rows = rows(text.as_bytes()).await;
        assert_eq!(
            (rows[1].0, rows[1].2),
            (2, Some("longer than 64 KiB; is a quote not closed?"))
        );
        assert!(rows[1].1.len() <= LONGEST + 1);
        assert_eq!(rows.last().unwrap().1, format!("{:05}", lines - 1));
        assert_eq!(rows.last().unwrap().0, i64::from(lines) + 2);
        assert!(rows.len() > lines as usize / 3);
    }

    #[tokio::test]
    async fn an_open_quote_at_the_end_is_a_fault() {
        let rows = rows(b"a\n\"x\ny").await;
        assert_eq!(
            rows[1],
            (
                2,
                "x\ny".to_owned(),
                Some("a quote is opened and never closed")
            )
        );
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_no_text() {
        let wanted = expected(&[(1, "a|b"), (2, "\u{feff}")]);
        assert_eq!(fields("\u{feff}\"a\",b\n\u{feff}").await, wanted);
        assert_eq!(fields("\u{feff}").await, []);
    }

    #[tokio::test]
    async fn a_row_may_lie_across_blocks() {
        let long = "x".repeat(BLOCK - 3);
        let text = format!("{long},\"b\"\"c\"\r\n1,2");
        let wanted = expected(&[(1, &format!("{long}|b\"c")), (2, "1|2")]);
        assert_eq!(fields(&text).await, wanted);
    }
}
