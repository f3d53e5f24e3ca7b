//! From one sample rate to another.

use rubato::{
    Fft, FixedSync, Indexing, Resampler as _, audioadapter_buffers::direct::SequentialSlice,
};

use crate::Error;

/// Band-limited resampling of one mono stream in blocks of 20 ms, with 10 ms of delay. Blocks are
/// fixed, so 20 ms frames leave no remainder; other lengths wait inside for the rest of their block.
pub struct Resampler {
    fft: Fft<f32>,
    frame_in: usize,
    frame_out: usize,
    /// Less than `frame_in` samples that wait for the rest of their block.
    pending: Vec<f32>,
    output: Vec<f32>,
    /// Samples taken and given since the last reset, so that `flush` knows what is owed.
    taken: u64,
    given: u64,
    from: u32,
    to: u32,
}

impl Resampler {
    /// Refuses absurd rates.
    pub(crate) fn check(rate: u32) -> Result<(), Error> {
        if (4_000..=192_000).contains(&rate) {
            Ok(())
        } else {
            Err(Error::Rate(rate))
        }
    }

    /// From `from` to `to` samples a second.
    pub fn new(from: u32, to: u32) -> Result<Self, Error> {
        Self::check(from)?;
        Self::check(to)?;
        let wanted = from as usize / 50;
        let fft = Fft::new(from as usize, to as usize, wanted, 1, FixedSync::Both)
            .map_err(|_| Error::Rate(to))?;
        let (frame_in, frame_out) = (fft.input_frames_next(), fft.output_frames_next());
        Ok(Self {
            fft,
            frame_in,
            frame_out,
            pending: Vec::with_capacity(frame_in),
            output: vec![0.0; frame_out],
            taken: 0,
            given: 0,
            from,
            to,
        })
    }

    /// Takes any number of samples; appends what is ready to `out`.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.taken += samples.len() as u64;
        let mut rest = samples;
        while !rest.is_empty() {
            let take = (self.frame_in - self.pending.len()).min(rest.len());
            let (now, later) = rest.split_at(take);
            self.pending
                .extend(now.iter().map(|sample| f32::from(*sample)));
            rest = later;
            if self.pending.len() == self.frame_in {
                self.block(out);
            }
        }
    }

    /// Ends the stream: appends what is still inside, so that the whole output is as long as the
    /// input, delay included. The next `push` starts anew.
    pub fn flush(&mut self, out: &mut Vec<i16>) {
        let owed = self.taken * u64::from(self.to) / u64::from(self.from);
        let delay = self.fft.output_delay() as u64;
        let start = out.len();
        let before = self.given;
        while self.given < owed + delay {
            self.pending.resize(self.frame_in, 0.0);
            self.block(out);
        }
        out.truncate(start + (owed + delay).saturating_sub(before) as usize);
        self.reset();
    }

    /// Forgets all that went before, as after a barge-in.
    pub fn reset(&mut self) {
        self.fft.reset();
        self.pending.clear();
        (self.taken, self.given) = (0, 0);
    }

    /// Samples by which the output lags, at the output's rate.
    pub fn delay(&self) -> usize {
        self.fft.output_delay()
    }

    /// Turns the full `pending` block into output.
    fn block(&mut self, out: &mut Vec<i16>) {
        let done = SequentialSlice::new(&self.pending, 1, self.frame_in).and_then(|input| {
            let mut output = SequentialSlice::new_mut(&mut self.output, 1, self.frame_out)?;
            Ok(self
                .fft
                .process_into_buffer(&input, &mut output, None::<&Indexing>)
                .is_ok())
        });
        // Both buffers have the sizes the resampler asked for, so it can't refuse them.
        debug_assert!(matches!(done, Ok(true)));
        self.pending.clear();
        self.given += self.frame_out as u64;
        out.extend(self.output.iter().map(|sample| sample.round() as i16));
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampler")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn tone(rate: u32, hz: f32, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| {
                ((n as f32 * hz * std::f32::consts::TAU / rate as f32).sin() * 10_000.0) as i16
            })
            .collect()
    }

    fn rms(samples: &[i16]) -> f32 {
        let sum: f32 = samples.iter().map(|s| f32::from(*s).powi(2)).sum();
        (sum / samples.len() as f32).sqrt()
    }

    #[test]
    fn frames_of_twenty_ms_come_out_whole() {
        for (from, to) in [
            (8000, 16_000),
            (16_000, 8000),
            (24_000, 8000),
            (22_050, 8000),
        ] {
            let mut resampler = Resampler::new(from, to).unwrap();
            let mut out = Vec::new();
            resampler.push(&vec![0; from as usize / 50], &mut out);
            assert_eq!(out.len(), to as usize / 50, "{from} to {to}");
        }
    }

    #[test]
    fn a_tone_keeps_its_level() {
        for (from, to) in [(8000, 16_000), (16_000, 8000), (22_050, 8000)] {
            let input = tone(from, 1000.0, from as usize);
            let mut out = Vec::new();
            let mut resampler = Resampler::new(from, to).unwrap();
            resampler.push(&input, &mut out);
            let middle = &out[out.len() / 4..out.len() / 2];
            assert!(
                (rms(middle) / rms(&input) - 1.0).abs() < 0.02,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_removed() {
        let mut out = Vec::new();
        Resampler::new(16_000, 8000)
            .unwrap()
            .push(&tone(16_000, 6000.0, 16_000), &mut out);
        assert!(rms(&out[800..]) < 5.0);
    }

    #[test]
    fn a_reset_leaves_no_echo() {
        let mut resampler = Resampler::new(16_000, 8000).unwrap();
        let mut out = Vec::new();
        resampler.push(&tone(16_000, 500.0, 333), &mut out);
        resampler.reset();
        out.clear();
        resampler.push(&[0; 640], &mut out);
        assert!(out.len() == 320 && out.iter().all(|sample| *sample == 0));
    }

    #[test]
    fn an_absurd_rate_is_refused() {
        assert!(matches!(Resampler::new(8000, 0), Err(Error::Rate(0))));
        assert!(matches!(Resampler::new(1, 8000), Err(Error::Rate(1))));
    }

    proptest! {
        #[test]
        fn cutting_the_input_changes_nothing(cuts in prop::collection::vec(0_usize..700, 1..12)) {
            let total: usize = cuts.iter().sum();
            let input = tone(8000, 440.0, total);
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            let mut resampler = Resampler::new(8000, 16_000).unwrap();
            resampler.push(&input, &mut whole);
            resampler.flush(&mut whole);
            let mut rest = input.as_slice();
            for cut in cuts {
                let (now, later) = rest.split_at(cut);
                resampler.push(now, &mut parts);
                rest = later;
            }
            resampler.flush(&mut parts);
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(whole.len(), total * 2 + resampler.delay());
        }
    }
}
