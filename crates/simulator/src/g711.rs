//! G.711 mu-law, the phone line's audio: a byte a sample, 8 kHz. Source: ITU-T G.711.

/// Bytes of a 20 ms frame.
pub const FRAME: usize = 160;
/// The byte of digital silence.
pub const SILENCE: u8 = 0xFF;
/// Samples (= bytes) a second.
pub const RATE: u64 = 8000;

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

static DECODE: [i16; 256] = {
    let mut table = [0_i16; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8) as i32;
        let magnitude = ((((bits & 0x0F) << 3) + BIAS) << ((bits & 0x70) >> 4)) - BIAS;
        table[code] = if bits & 0x80 != 0 {
            -magnitude
        } else {
            magnitude
        } as i16;
        code += 1;
    }
    table
};

/// The linear value of a mu-law byte, ±32124.
#[inline]
pub fn decode(byte: u8) -> i16 {
    DECODE[byte as usize]
}

/// The nearest mu-law byte of a linear sample.
pub fn encode(sample: i16) -> u8 {
    let value = i32::from(sample);
    let sign = if value < 0 { 0x80 } else { 0 };
    let magnitude = value.abs().min(CLIP) + BIAS;
    // Position of the highest set bit, 7..=14, is the segment.
    let segment = (24 - magnitude.leading_zeros() as i32).max(0);
    let mantissa = (magnitude >> (segment + 3)) & 0x0F;
    !(sign | (segment << 4) | mantissa) as u8
}

/// Mean absolute level of a piece, 0..32124; 0 for an empty one. About 0.9 × the RMS of speech.
pub fn level(bytes: &[u8]) -> u32 {
    if bytes.is_empty() {
        return 0;
    }
    let sum: u64 = bytes
        .iter()
        .map(|byte| u64::from(decode(*byte).unsigned_abs()))
        .sum();
    (sum / bytes.len() as u64) as u32
}

/// Milliseconds of so many mu-law bytes.
pub fn ms(bytes: usize) -> u64 {
    bytes as u64 * 1000 / RATE
}

/// Bytes of so many milliseconds.
pub fn bytes(ms: u64) -> usize {
    (ms * RATE / 1000) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_survives_decode_and_encode() {
        for byte in 0..=255_u8 {
            let again = encode(decode(byte));
            // 0x7F and 0xFF both mean zero.
            assert_eq!(decode(again), decode(byte), "byte {byte:#x}");
        }
    }

    #[test]
    fn known_points_of_the_curve() {
        assert_eq!(decode(0x00), -32_124);
        assert_eq!(decode(0x80), 32_124);
        assert_eq!(decode(0xFF), 0);
        assert_eq!(encode(0), 0xFF);
        assert_eq!(encode(i16::MAX), 0x80);
        assert_eq!(encode(i16::MIN), 0x00);
    }

    #[test]
    fn level_of_silence_is_zero() {
        assert_eq!(level(&[SILENCE; FRAME]), 0);
        assert!(level(&[0x80; FRAME]) > 30_000);
    }
}
