//! A whole WAV file in memory.

use bytes::{BufMut, Bytes, BytesMut};

/// A RIFF file of one channel of 16 bits, around these samples (little endian) at `rate` Hz.
pub fn wav_file(samples: &[u8], rate: u32) -> Bytes {
    let length = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let mut file = BytesMut::with_capacity(44 + samples.len());
    file.put_slice(b"RIFF");
    file.put_u32_le(length.saturating_add(36));
    file.put_slice(b"WAVEfmt ");
    file.put_u32_le(16);
    file.put_u16_le(1); // PCM
    file.put_u16_le(1);
    file.put_u32_le(rate);
    file.put_u32_le(rate.saturating_mul(2));
    file.put_u16_le(2);
    file.put_u16_le(16);
    file.put_slice(b"data");
    file.put_u32_le(length);
    file.put_slice(samples);
    file.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn another_reader_reads_it() {
        let samples: Vec<i16> = (0..2400).collect();
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        let file = wav_file(&bytes, 24_000);
        let mut reader = hound::WavReader::new(std::io::Cursor::new(file)).unwrap();
        assert_eq!(
            (reader.spec().channels, reader.spec().sample_rate),
            (1, 24_000)
        );
        let read: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(read, samples);
    }
}
