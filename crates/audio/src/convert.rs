//! Frames from one [`Format`] to another.

use bytes::Bytes;

use crate::{Error, Format, Resampler, g711};

/// Appends the samples of a frame to `out`. A half sample at the end of 16-bit audio is left out.
pub fn samples(frame: &[u8], format: Format, out: &mut Vec<i16>) {
    match format {
        Format::Mulaw8k => out.extend(frame.iter().map(|code| g711::decode(*code))),
        Format::Pcm16 { .. } => {
            out.extend(
                frame
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|pair| i16::from_le_bytes(*pair)),
            );
        }
    }
}

/// Samples as bytes of a format, whose rate they must already have.
pub fn pcm_bytes(samples: &[i16], format: Format) -> Bytes {
    match format {
        Format::Mulaw8k => samples.iter().map(|sample| g711::encode(*sample)).collect(),
        Format::Pcm16 { .. } => samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect(),
    }
}

/// Converts a stream, frame by frame. Equal formats pass untouched, without a copy.
#[derive(Debug)]
pub struct Converter {
    from: Format,
    to: Format,
    resampler: Option<Resampler>,
    /// First byte of a 16-bit sample that a frame cut in two.
    half: Option<u8>,
    decoded: Vec<i16>,
    resampled: Vec<i16>,
}

impl Converter {
    /// Refuses absurd rates.
    pub fn new(from: Format, to: Format) -> Result<Self, Error> {
        let resampler = match (from.rate(), to.rate()) {
            (a, b) if a == b => None,
            (a, b) => Some(Resampler::new(a, b)?),
        };
        Ok(Self {
            from,
            to,
            resampler,
            half: None,
            decoded: Vec::new(),
            resampled: Vec::new(),
        })
    }

    /// One frame; where rates differ, what comes out is late by 10 ms and may be empty for short input.
    pub fn convert(&mut self, frame: Bytes) -> Bytes {
        if self.from == self.to {
            return frame;
        }
        self.decode(&frame);
        let Some(resampler) = &mut self.resampler else {
            return pcm_bytes(&self.decoded, self.to);
        };
        self.resampled.clear();
        resampler.push(&self.decoded, &mut self.resampled);
        pcm_bytes(&self.resampled, self.to)
    }

    /// What is still inside at the end of a stream.
    pub fn flush(&mut self) -> Bytes {
        self.half = None;
        let Some(resampler) = &mut self.resampler else {
            return Bytes::new();
        };
        self.resampled.clear();
        resampler.flush(&mut self.resampled);
        pcm_bytes(&self.resampled, self.to)
    }

    /// Forgets all that went before.
    pub fn reset(&mut self) {
        self.half = None;
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    fn decode(&mut self, frame: &[u8]) {
        self.decoded.clear();
        let mut rest = frame;
        if let Format::Pcm16 { .. } = self.from {
            if let (Some(low), Some((high, later))) = (self.half, frame.split_first()) {
                self.decoded.push(i16::from_le_bytes([low, *high]));
                self.half = None;
                rest = later;
            }
            if let [odd] = rest.as_chunks::<2>().1 {
                self.half = Some(*odd);
            }
        }
        samples(rest, self.from, &mut self.decoded);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const PCM8: Format = Format::Pcm16 { rate: 8000 };
    const PCM16: Format = Format::Pcm16 { rate: 16_000 };

    #[test]
    fn equal_formats_pass_without_a_copy() {
        let frame = Bytes::from(vec![7_u8; 160]);
        let mut converter = Converter::new(Format::Mulaw8k, Format::Mulaw8k).unwrap();
        assert_eq!(converter.convert(frame.clone()).as_ptr(), frame.as_ptr());
    }

    #[test]
    fn a_frame_keeps_its_duration() {
        for (from, to) in [
            (Format::Mulaw8k, PCM16),
            (PCM16, Format::Mulaw8k),
            (PCM8, PCM16),
        ] {
            let frame = Bytes::from(vec![from.silence(); from.bytes_per_second() / 50]);
            let out = Converter::new(from, to).unwrap().convert(frame);
            assert_eq!(out.len(), to.bytes_per_second() / 50);
            assert!(
                out.iter().all(|byte| *byte == to.silence()),
                "silence stays silence"
            );
        }
    }

    proptest! {
        #[test]
        fn half_samples_at_a_frame_end_are_joined(
            bytes in prop::collection::vec(any::<u8>(), 2..200), cut in 0_usize..200,
        ) {
            let bytes = Bytes::from(bytes);
            let cut = cut.min(bytes.len());
            let whole = Converter::new(PCM8, Format::Mulaw8k).unwrap().convert(bytes.clone());
            let mut converter = Converter::new(PCM8, Format::Mulaw8k).unwrap();
            let mut parts = converter.convert(bytes.slice(..cut)).to_vec();
            parts.extend_from_slice(&converter.convert(bytes.slice(cut..)));
            prop_assert_eq!(whole.to_vec(), parts);
        }
    }
}
