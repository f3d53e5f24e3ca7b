//! From 8 to 16 kHz for the detector: a half-band filter, far cheaper than [`crate::Resampler`], whose
//! exactness nobody hears here.

/// Samples on each side of the one that is made.
const REACH: usize = 8;
const TAPS: usize = 2 * REACH;

/// Doubles the rate of one stream, [`REACH`] samples late.
pub(super) struct Doubler {
    taps: [f32; TAPS],
    /// The last samples, which the next ones are made of too.
    samples: Vec<f32>,
    between: Vec<f32>,
}

impl Doubler {
    pub(super) fn new() -> Self {
        Self {
            taps: std::array::from_fn(tap),
            samples: vec![0.0; TAPS - 1],
            between: Vec::new(),
        }
    }

    /// Appends two samples for each one taken.
    pub(super) fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        (self.samples).extend(samples.iter().map(|sample| f32::from(*sample)));
        self.between.clear();
        self.between.resize(samples.len(), 0.0);
        // Tap by tap: so the processor works on several samples at once.
        for (at, tap) in self.taps.iter().enumerate() {
            for (sum, sample) in self.between.iter_mut().zip(&self.samples[at..]) {
                *sum += sample * tap;
            }
        }
        let pairs = self.samples[REACH - 1..].iter().zip(&self.between);
        out.extend(pairs.flat_map(|(sample, between)| [*sample as i16, *between as i16]));
        self.samples.drain(..samples.len());
    }
}

/// The sinc of half a sample's shift, under a Hann window.
fn tap(index: usize) -> f32 {
    use std::f32::consts::PI;
    let x = index as f32 - (REACH as f32 - 0.5);
    let window = (PI * x / TAPS as f32).cos().powi(2);
    (PI * x).sin() / (PI * x) * window
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_the_same_tone_at_twice_the_rate() {
        for hz in [200.0, 1000.0, 2500.0] {
            let tone = |rate: f32, n: usize| {
                (n as f32 * hz * std::f32::consts::TAU / rate).sin() * 10_000.0
            };
            let input: Vec<i16> = (0..1600).map(|n| tone(8000.0, n) as i16).collect();
            let (mut doubler, mut out) = (Doubler::new(), Vec::new());
            for frame in input.chunks(100) {
                doubler.push(frame, &mut out);
            }
            assert_eq!(out.len(), 2 * input.len());
            // Two samples of input are four here, and the filter looks REACH ahead.
            for (n, sample) in out.iter().enumerate().skip(200) {
                let wanted = tone(16_000.0, n - 2 * REACH);
                assert!(
                    (f32::from(*sample) - wanted).abs() < 300.0,
                    "{hz} Hz: {sample} for {wanted}"
                );
            }
        }
    }
}
