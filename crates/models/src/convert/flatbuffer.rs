//! Reading a flatbuffer: tables of numbered fields, found by offsets. What lies outside of the buffer reads
//! as absent: the caller compares the sum of what it makes of it.

/// A table.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl<'a> Table<'a> {
    /// The outermost one.
    pub(super) fn root(buffer: &'a [u8]) -> Option<Self> {
        let at = follow(buffer, 0)?;
        // Its list of fields must be there.
        read::<4>(buffer, at).map(|_| Self { buffer, at })
    }

    /// Where a field lies, if the table has it.
    fn field(self, number: usize) -> Option<usize> {
        let back = i32::from_le_bytes(read(self.buffer, self.at)?);
        let list = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let length = usize::from(u16::from_le_bytes(read(self.buffer, list)?));
        let entry = 4 + 2 * number;
        if entry + 2 > length {
            return None;
        }
        match u16::from_le_bytes(read(self.buffer, list + entry)?) {
            0 => None,
            offset => Some(self.at + usize::from(offset)),
        }
    }

    fn number<const SIZE: usize>(self, number: usize) -> [u8; SIZE] {
        self.field(number)
            .and_then(|at| read(self.buffer, at))
            .unwrap_or([0; SIZE])
    }

    pub(super) fn u8(self, number: usize) -> u8 {
        let [byte] = self.number(number);
        byte
    }

    pub(super) fn i32(self, number: usize) -> i32 {
        i32::from_le_bytes(self.number(number))
    }

    pub(super) fn i64(self, number: usize) -> i64 {
        i64::from_le_bytes(self.number(number))
    }

    pub(super) fn f32(self, number: usize) -> f32 {
        f32::from_le_bytes(self.number(number))
    }

    /// Empty if absent.
    pub(super) fn text(self, number: usize) -> &'a str {
        std::str::from_utf8(self.bytes(number)).unwrap_or_default()
    }

    /// Empty if absent.
    pub(super) fn bytes(self, number: usize) -> &'a [u8] {
        let at = self.field(number).and_then(|at| follow(self.buffer, at));
        at.and_then(|at| counted(self.buffer, at, 1))
            .unwrap_or_default()
    }

    pub(super) fn table(self, number: usize) -> Option<Self> {
        let at = follow(self.buffer, self.field(number)?)?;
        Some(Self { at, ..self })
    }

    pub(super) fn tables(self, number: usize) -> impl Iterator<Item = Self> {
        self.entries(number).map(move |at| Self { at, ..self })
    }

    pub(super) fn texts(self, number: usize) -> impl Iterator<Item = &'a str> {
        self.entries(number).map(move |at| {
            let bytes = counted(self.buffer, at, 1).unwrap_or_default();
            std::str::from_utf8(bytes).unwrap_or_default()
        })
    }

    pub(super) fn i64s(self, number: usize) -> impl Iterator<Item = i64> {
        self.values(number)
            .iter()
            .map(|value| i64::from_le_bytes(*value))
    }

    pub(super) fn f32s(self, number: usize) -> impl Iterator<Item = f32> {
        self.values(number)
            .iter()
            .map(|value| f32::from_le_bytes(*value))
    }

    fn values<const SIZE: usize>(self, number: usize) -> &'a [[u8; SIZE]] {
        let at = self.field(number).and_then(|at| follow(self.buffer, at));
        let bytes = at.and_then(|at| counted(self.buffer, at, SIZE));
        bytes.unwrap_or_default().as_chunks().0
    }

    /// Where the entries of a list of tables or texts lie.
    fn entries(self, number: usize) -> impl Iterator<Item = usize> {
        let at = self.field(number).and_then(|at| follow(self.buffer, at));
        let count = at.and_then(|at| Some(counted(self.buffer, at, 4)?.len() / 4));
        (0..count.unwrap_or(0)).filter_map(move |index| follow(self.buffer, at? + 4 + 4 * index))
    }
}

/// What a relative offset points to.
fn follow(buffer: &[u8], at: usize) -> Option<usize> {
    at.checked_add(u32::from_le_bytes(read(buffer, at)?) as usize)
}

/// A list's content: its count stands before it.
fn counted(buffer: &[u8], at: usize, size: usize) -> Option<&[u8]> {
    let count = u32::from_le_bytes(read(buffer, at)?) as usize;
    buffer.get(at + 4..)?.get(..count.checked_mul(size)?)
}

fn read<const SIZE: usize>(buffer: &[u8], at: usize) -> Option<[u8; SIZE]> {
    buffer.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// A table of four fields: a number, a text, none, a list of numbers.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![16, 0, 0, 0]; // to the table
        bytes.extend([12, 0, 16, 0, 4, 0, 8, 0, 0, 0, 12, 0]); // the list of fields
        bytes.extend(12_i32.to_le_bytes()); // the table: back to the list
        bytes.extend(7_i32.to_le_bytes());
        bytes.extend(8_u32.to_le_bytes()); // to the text
        bytes.extend(12_u32.to_le_bytes()); // to the list
        bytes.extend([2, 0, 0, 0, b'h', b'i', 0, 0]);
        bytes.extend([1, 0, 0, 0]);
        bytes.extend((-9_i64).to_le_bytes());
        bytes
    }

    #[test]
    fn fields_are_found_and_absent_ones_are_empty() {
        let bytes = sample();
        let table = Table::root(&bytes).unwrap();
        assert_eq!((table.i32(0), table.text(1)), (7, "hi"));
        assert_eq!((table.i64(2), table.text(9)), (0, ""));
        assert_eq!(table.i64s(3).collect::<Vec<_>>(), [-9]);
        assert!(table.table(2).is_none() && table.tables(2).next().is_none());
    }

    #[test]
    fn a_cut_or_changed_buffer_breaks_nothing() {
        let whole = sample();
        for end in 0..whole.len() {
            for byte in [0, 1, 0x7F, 0xFF] {
                let mut bytes = whole[..end].to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last = byte;
                }
                let Some(table) = Table::root(&bytes) else {
                    continue;
                };
                for number in 0..5 {
                    let _ = (table.i64(number), table.text(number), table.table(number));
                    let _ = (table.texts(number).count(), table.i64s(number).count());
                }
            }
        }
    }
}
