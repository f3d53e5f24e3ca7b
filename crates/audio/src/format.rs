//! What a run of audio bytes is.

/// Encoding and rate of a frame; always mono and headerless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// G.711 mu-law, 8 kHz, one byte a sample: 160 bytes for 20 ms.
    Mulaw8k,
    /// Signed 16-bit little endian at this many samples a second.
    Pcm16 {
        /// Hz.
        rate: u32,
    },
}

impl Format {
    /// Bytes in a second.
    pub fn bytes_per_second(self) -> usize {
        match self {
            Self::Mulaw8k => 8000,
            Self::Pcm16 { rate } => rate as usize * 2,
        }
    }

    /// Samples in a second, Hz.
    pub fn rate(self) -> u32 {
        match self {
            Self::Mulaw8k => 8000,
            Self::Pcm16 { rate } => rate,
        }
    }

    /// How long `bytes` play, ms.
    pub fn ms(self, bytes: usize) -> u64 {
        (bytes as u64 * 1000) / self.bytes_per_second() as u64
    }

    /// The byte of silence.
    pub fn silence(self) -> u8 {
        match self {
            Self::Mulaw8k => 0xFF,
            Self::Pcm16 { .. } => 0,
        }
    }
}
