//! Server-sent events, cut out of bytes that arrive in any portions. Source: wire-providers.md §3.2.

/// Longest event, bytes; a chunk of a completion is below 1 KB.
const LONGEST: usize = 1 << 20;

/// An event is longer than any model's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Gathers bytes into events.
#[derive(Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    /// Data lines of the event so far.
    data: Option<String>,
    name: String,
}

impl Events {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len() + self.data.as_ref().map_or(0, String::len);
        if held + bytes.len() > LONGEST {
            return Err(TooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The data of the next whole event; comments and `keepalive` events pass by.
    pub(super) fn next(&mut self) -> Option<String> {
        loop {
            let rest = &self.buffer[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = String::from_utf8_lossy(&rest[..end])
                .trim_end_matches('\r')
                .to_owned();
            self.at += end + 1;
            if let Some(data) = self.line(&line) {
                return Some(data);
            }
        }
    }

    /// What is left when the body ends without a blank line.
    pub(super) fn last(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.buffer[self.at..])
            .trim_end_matches('\r')
            .to_owned();
        self.at = self.buffer.len();
        self.line(&line).or_else(|| self.line(""))
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return self.data.take().filter(|_| name != "keepalive");
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.name),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const STREAM: &str = ": hello\r\ndata: {\"a\":\r\ndata: \"é\"}\r\n\r\nevent: keepalive\ndata: {}\n\n\
        id: 1\nretry: 5\nnonsense\n\ndata:[DONE]\n\n";

    #[test]
    fn cut_anywhere_the_events_are_the_same() {
        for size in 1..STREAM.len() {
            let mut events = Events::default();
            let mut all = Vec::new();
            for bytes in STREAM.as_bytes().chunks(size) {
                events.push(bytes).unwrap();
                all.extend(std::iter::from_fn(|| events.next()));
            }
            assert_eq!(all, ["{\"a\":\n\"é\"}", "[DONE]"], "{size}");
        }
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        for end in ["", "\n", "\r\n"] {
            let mut events = Events::default();
            events.push(format!("data: x{end}").as_bytes()).unwrap();
            assert_eq!(events.next(), None);
            assert_eq!(events.last().as_deref(), Some("x"), "{end:?}");
            assert_eq!(events.last(), None);
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        let mut outcome = Ok(());
        for _ in 0..LONGEST / 4096 + 1 {
            outcome = outcome.and_then(|()| events.push(&[b'x'; 4096]));
        }
        assert_eq!(outcome, Err(TooLong));
    }
}
