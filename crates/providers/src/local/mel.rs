//! The log-mel spectrogram that Whisper hears, for 8 s of audio. Source: Radford et al., "Robust Speech
//! Recognition via Large-Scale Weak Supervision", and the feature extractor published with it: 25 ms
//! Hann windows every 10 ms, 80 Slaney mel bands, log10, the top 8 decades scaled to about -1 to 1.

use std::{f32::consts::TAU, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex};

/// Samples at 16 kHz: 8 s.
pub(super) const SAMPLES: usize = 128_000;
pub(super) const BANDS: usize = 80;
pub(super) const FRAMES: usize = 800;
const WINDOW: usize = 400;
const HOP: usize = 160;
const BINS: usize = WINDOW / 2 + 1;
const RATE: f64 = 16_000.0;

pub(super) struct Mel {
    fft: Arc<dyn RealToComplex<f32>>,
    hann: Vec<f32>,
    /// Of each band: its first bin and the weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
}

impl Mel {
    pub(super) fn new() -> Self {
        let hann = (0..WINDOW)
            .map(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos())
            .collect();
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
            hann,
            bands: bands(),
        }
    }

    /// The last 8 s of `samples`, silence in front where there is less: 80 rows of 800 values.
    pub(super) fn features(&self, samples: &[f32]) -> Vec<f32> {
        let tail = &samples[samples.len().saturating_sub(SAMPLES)..];
        let lead = SAMPLES - tail.len();
        let (mean, scale) = normal(tail);
        // Reflected at both ends by half a window, as a centred transform wants it.
        let at = |place: isize| -> f32 {
            let last = SAMPLES as isize - 1;
            let place = if place < 0 {
                -place
            } else if place > last {
                2 * last - place
            } else {
                place
            };
            let sample = (place as usize)
                .checked_sub(lead)
                .map_or(0.0, |index| tail[index]);
            (sample - mean) * scale
        };
        let mut rows = vec![0.0_f32; BANDS * FRAMES];
        let mut window = vec![0.0; WINDOW];
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut powers = [0.0_f32; BINS];
        let mut still: Option<usize> = None;
        let mut highest = f32::NEG_INFINITY;
        for frame in 0..FRAMES {
            let first = (frame * HOP) as isize - (WINDOW / 2) as isize;
            // Windows within the silence in front are all alike.
            let within_lead = first >= 0 && first as usize + WINDOW <= lead;
            if let (true, Some(alike)) = (within_lead, still) {
                for band in 0..BANDS {
                    rows[band * FRAMES + frame] = rows[band * FRAMES + alike];
                }
                continue;
            }
            for (offset, (value, weight)) in window.iter_mut().zip(&self.hann).enumerate() {
                *value = at(first + offset as isize) * weight;
            }
            let done = self
                .fft
                .process_with_scratch(&mut window, &mut spectrum, &mut scratch);
            debug_assert!(done.is_ok(), "the buffers are the transform's own");
            for (power, value) in powers.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            for (band, (first, weights)) in self.bands.iter().enumerate() {
                let bins = &powers[*first..*first + weights.len()];
                let sum: f32 = weights
                    .iter()
                    .zip(bins)
                    .map(|(weight, power)| weight * power)
                    .sum();
                let value = sum.max(1e-10).log10();
                highest = highest.max(value);
                rows[band * FRAMES + frame] = value;
            }
            if within_lead {
                still = Some(frame);
            }
        }
        for value in &mut rows {
            *value = (value.max(highest - 8.0) + 4.0) / 4.0;
        }
        rows
    }
}

/// Mean and reciprocal deviation over the whole 8 s, the silence in front included.
fn normal(tail: &[f32]) -> (f32, f32) {
    let count = SAMPLES as f64;
    let sum: f64 = tail.iter().map(|sample| f64::from(*sample)).sum();
    let squares: f64 = tail.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let mean = sum / count;
    let variance = (squares / count - mean * mean).max(0.0);
    (mean as f32, (1.0 / (variance + 1e-7).sqrt()) as f32)
}

/// Triangles of equal area, evenly spaced on Slaney's scale: linear to 1 kHz, logarithmic above.
fn bands() -> Vec<(usize, Vec<f32>)> {
    let step = 6.4_f64.ln() / 27.0;
    let mel = |hz: f64| {
        if hz < 1000.0 {
            hz * 3.0 / 200.0
        } else {
            15.0 + (hz / 1000.0).ln() / step
        }
    };
    let hz = |mel: f64| {
        if mel < 15.0 {
            mel * 200.0 / 3.0
        } else {
            1000.0 * ((mel - 15.0) * step).exp()
        }
    };
    let top = mel(RATE / 2.0);
    let corner = |n: usize| hz(top * n as f64 / (BANDS + 1) as f64);
    (0..BANDS)
        .map(|band| {
            let (low, middle, high) = (corner(band), corner(band + 1), corner(band + 2));
            let weight = |bin: usize| {
                let at = bin as f64 * RATE / WINDOW as f64;
                let slope = ((at - low) / (middle - low)).min((high - at) / (high - middle));
                (slope.max(0.0) * 2.0 / (high - low)) as f32
            };
            let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS)
                .map(weight)
                .take_while(|weight| *weight > 0.0)
                .collect();
            (first, weights)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values computed once with the reference implementation in double precision.
    #[test]
    fn features_match_the_reference() {
        let samples: Vec<f32> = (0..40_000)
            .map(|n| {
                let t = n as f32 / 16_000.0;
                0.3 * (TAU * (200.0 + 300.0 * t) * t).sin() + 0.1 * (TAU * 2500.0 * t).sin()
            })
            .collect();
        let features = Mel::new().features(&samples);
        for (band, frame, expected) in REFERENCE {
            let found = features[band * FRAMES + frame];
            assert!(
                (found - expected).abs() < 2e-3,
                "{band}, {frame}: {found}, not {expected}"
            );
        }
    }

    const REFERENCE: [(usize, usize, f32); 8] = [
        (0, 0, -0.20707),
        (10, 300, -0.20707),
        (0, 551, 0.78679),
        (8, 560, 1.36031),
        (20, 620, 0.68320),
        (45, 700, -0.11423),
        (60, 780, -0.20707),
        (79, 799, 0.07466),
    ];
}
