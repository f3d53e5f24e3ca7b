//! G.711 mu-law, by table. Source: ITU-T G.711, section 3 and its table 2a.

/// Added to a magnitude so that every segment starts at a power of two.
const BIAS: i32 = 0x84;
/// The largest magnitude that still fits after the bias.
const CLIP: i32 = 32_635;

const DECODED: [i16; 256] = decoded();
/// By magnitude / 4: the two lowest bits never reach the code.
const ENCODED: [u8; 8192] = encoded();

const fn decoded() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8) as i32;
        let magnitude = (((bits & 0x0F) << 3) + BIAS) << ((bits >> 4) & 0x07);
        let value = magnitude - BIAS;
        table[code] = if bits & 0x80 != 0 { -value } else { value } as i16;
        code += 1;
    }
    table
}

const fn encoded() -> [u8; 8192] {
    let mut table = [0; 8192];
    let mut index = 0;
    while index < 8192 {
        let mut magnitude = (index as i32) << 2;
        if magnitude > CLIP {
            magnitude = CLIP;
        }
        magnitude += BIAS;
        // The highest set bit is between 7 and 14: the segment is 0 to 7.
        let segment = 24 - magnitude.leading_zeros() as i32;
        let step = (magnitude >> (segment + 3)) & 0x0F;
        table[index] = !(((segment << 4) | step) as u8);
        index += 1;
    }
    table
}

/// The sample that a mu-law byte stands for.
#[inline]
pub fn decode(code: u8) -> i16 {
    DECODED[usize::from(code)]
}

/// The mu-law byte nearest to a sample.
#[inline]
pub fn encode(sample: i16) -> u8 {
    let code = ENCODED[usize::from(sample.unsigned_abs() >> 2).min(ENCODED.len() - 1)];
    if sample < 0 { code & 0x7F } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_codes() {
        // Table 2a of the standard, scaled from 14 to 16 bits.
        for (code, sample) in [
            (0xFF, 0),
            (0x7F, 0),
            (0x80, 32_124),
            (0x00, -32_124),
            (0xF0, 120),
            (0xEF, 132),
        ] {
            assert_eq!(decode(code), sample, "code {code:#x}");
        }
        assert_eq!(encode(0), 0xFF);
        assert_eq!(encode(i16::MAX), 0x80);
        assert_eq!(encode(i16::MIN), 0x00);
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255_u8 {
            // Minus zero has a code of its own, which no sample needs.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(encode(decode(code)), expected);
        }
    }

    proptest! {
        #[test]
        fn the_error_stays_within_half_a_step(sample in any::<i16>()) {
            let clipped = i32::from(sample).clamp(-CLIP, CLIP);
            let error = (i32::from(decode(encode(sample))) - clipped).abs();
            // A step is 1/16 of its segment, which is no wider than the biased magnitude.
            let half_step = (clipped.abs() + BIAS) / 32 + 4;
            prop_assert!(error <= half_step, "{sample}: off by {error}");
        }

        #[test]
        fn louder_never_becomes_softer(a in any::<i16>(), b in any::<i16>()) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(decode(encode(low)) <= decode(encode(high)));
        }
    }
}
