//! A row of a table in CSV (RFC 4180), found by a phone number.

use serde_json::{Map, Value};

/// The first row whose `column` is this number, by the names of the columns. Numbers are compared by their
/// digits.
pub(crate) fn row_of(text: &str, column: &str, number: &str) -> Option<Map<String, Value>> {
    let mut rows = Rows(text.trim_start_matches('\u{feff}'));
    let names: Vec<String> = rows
        .next()?
        .iter()
        .map(|name| name.trim().to_owned())
        .collect();
    let at = names.iter().position(|name| name == column)?;
    let wanted = digits(number);
    let row = rows.find(|row| row.get(at).is_some_and(|cell| digits(cell) == wanted))?;
    let cells = names.into_iter().zip(row);
    let named = cells.filter(|(name, _)| !name.is_empty());
    Some(named.map(|(name, cell)| (name, cell.into())).collect())
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

/// The rows of what is left of a table.
struct Rows<'t>(&'t str);

impl Iterator for Rows<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        if self.0.is_empty() {
            return None;
        }
        let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut characters = self.0.char_indices().peekable();
        let mut end = self.0.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' if quoted => match characters.next_if(|(_, next)| *next == '"') {
                    Some(_) => cell.push('"'),
                    None => quoted = false,
                },
                '"' if cell.is_empty() => quoted = true,
                ',' if !quoted => row.push(std::mem::take(&mut cell)),
                '\n' if !quoted => {
                    end = at + 1;
                    break;
                }
                '\r' if !quoted => {}
                other => cell.push(other),
            }
        }
        row.push(cell);
        self.0 = &self.0[end..];
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TABLE: &str = "\u{feff}name,contact_number,note\r\nBruce,+14155550100,\"met \"\"him\"\",\nonce\"\r\n\
                         Clark,1 415 555 0101,\n";

    #[test]
    fn a_row_is_found_by_the_digits_of_its_number() {
        let row = |number| row_of(TABLE, "contact_number", number);
        let bruce = row("+14155550100").unwrap();
        assert_eq!(
            (&bruce["name"], &bruce["note"]),
            (&"Bruce".into(), &"met \"him\",\nonce".into())
        );
        assert_eq!(row("+14155550101").unwrap()["name"], "Clark");
        assert_eq!(row("+14155550102"), None);
        assert_eq!(row_of("name,phone\nx,1", "contact_number", "1"), None);
        assert_eq!(row_of("", "contact_number", "1"), None);
    }
}
