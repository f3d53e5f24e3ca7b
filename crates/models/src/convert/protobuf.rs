//! Writing a protobuf message: numbered fields, one after the other.

/// How a field's value is written.
const VARINT: u64 = 0;
const COUNTED: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A message, as far as it is written.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn int(&mut self, field: u64, value: i64) {
        self.varint(field << 3 | VARINT);
        // Negative ones in ten bytes, as the format wants it.
        self.varint(value as u64);
    }

    pub(super) fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | COUNTED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(super) fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    pub(super) fn message(&mut self, field: u64, value: Self) {
        self.bytes(field, &value.0);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_format_wants_them() {
        let mut inner = Message::default();
        inner.int(1, 150);
        let mut outer = Message::default();
        outer.text(2, "testing");
        outer.message(3, inner);
        outer.int(4, -1);
        outer.float(16, 1.0);
        let mut expected = vec![0x12, 7];
        expected.extend(b"testing");
        expected.extend([0x1A, 3, 0x08, 0x96, 0x01]);
        expected.extend([
            0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
        ]);
        expected.extend([0x85, 0x01, 0, 0, 0x80, 0x3F]);
        assert_eq!(outer.into_bytes(), expected);
    }
}
