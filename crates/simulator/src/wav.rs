//! WAV files: any mono or stereo file in, 8 kHz mu-law out; stereo 16 bit out.

use std::{
    io::{Cursor, Seek, Write},
    path::Path,
};

use crate::{Error, g711};

const MULAW_TAG: u16 = 7;

/// Reads a WAV file as 8 kHz mono mu-law.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        what: path.display().to_string(),
        source,
    })?;
    to_mulaw(&bytes).map_err(|message| Error::Sound {
        path: path.to_owned(),
        message,
    })
}

/// Turns the bytes of a WAV file (mu-law 8 kHz, or 8 to 32 bit PCM or float of any rate) into 8 kHz
/// mono mu-law.
pub fn to_mulaw(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if let Some(raw) = raw_mulaw(bytes)? {
        return Ok(raw);
    }
    let mut reader =
        hound::WavReader::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>(),
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1_i64 << (spec.bits_per_sample - 1)) as f32;
            let scaled =
                |sample: Result<i32, hound::Error>| sample.map(|value| value as f32 * scale);
            reader.samples::<i32>().map(scaled).collect()
        }
    }
    .map_err(|error| error.to_string())?;
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<f32> = samples
        .chunks(channels)
        .map(|frame| frame.iter().sum::<f32>() / frame.len() as f32)
        .collect();
    Ok(resample(&mono, spec.sample_rate)
        .into_iter()
        .map(|sample| g711::encode((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16))
        .collect())
}

/// The data of a mu-law WAV, `None` for another format.
fn raw_mulaw(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
        return Err("not a WAV file".into());
    }
    let mut rest = &bytes[12..];
    let mut mulaw = false;
    while let [a, b, c, d, s0, s1, s2, s3, tail @ ..] = rest {
        let size = u32::from_le_bytes([*s0, *s1, *s2, *s3]) as usize;
        let body = &tail[..size.min(tail.len())];
        match &[*a, *b, *c, *d] {
            b"fmt " if body.len() >= 16 => {
                let tag = u16::from_le_bytes([body[0], body[1]]);
                let channels = u16::from_le_bytes([body[2], body[3]]);
                let rate = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
                if tag != MULAW_TAG {
                    return Ok(None);
                }
                if channels != 1 || u64::from(rate) != g711::RATE {
                    return Err(format!(
                        "mu-law with {channels} channels at {rate} Hz; need 1 at 8000"
                    ));
                }
                mulaw = true;
            }
            b"data" if mulaw => return Ok(Some(body.to_vec())),
            _ => {}
        }
        let padded = size + size % 2;
        rest = tail.get(padded.min(tail.len())..).unwrap_or_default();
    }
    if mulaw {
        Err("no data in the file".into())
    } else {
        Ok(None)
    }
}

/// To 8 kHz: the mean over each output sample's span when going down, straight lines when going up.
fn resample(samples: &[f32], rate: u32) -> Vec<f32> {
    if u64::from(rate) == g711::RATE || samples.is_empty() {
        return samples.to_vec();
    }
    let step = f64::from(rate) / g711::RATE as f64;
    let count = (samples.len() as f64 / step) as usize;
    let at = |position: f64| {
        let index = (position as usize).min(samples.len() - 1);
        let next = (index + 1).min(samples.len() - 1);
        let part = (position - index as f64) as f32;
        samples[index] + (samples[next] - samples[index]) * part
    };
    (0..count)
        .map(|n| {
            let from = n as f64 * step;
            if step <= 1.0 {
                return at(from);
            }
            let first = from as usize;
            let last = ((from + step) as usize).clamp(first + 1, samples.len());
            samples[first..last].iter().sum::<f32>() / (last - first) as f32
        })
        .collect()
}

/// Writes two mu-law channels as 16 bit stereo (left, right), the shorter one filled with silence.
pub fn write_stereo(to: impl Write + Seek, left: &[u8], right: &[u8]) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: g711::RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(to, spec)?;
    for n in 0..left.len().max(right.len()) {
        for channel in [left, right] {
            let byte = channel.get(n).copied().unwrap_or(g711::SILENCE);
            writer.write_sample(g711::decode(byte))?;
        }
    }
    writer.finalize()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_stereo_file_reads_back() {
        let mut file = Cursor::new(Vec::new());
        let tone: Vec<u8> = (0..160_i16).map(|n| g711::encode(n * 50)).collect();
        write_stereo(&mut file, &tone, &tone[..80]).unwrap();
        let mulaw = to_mulaw(file.get_ref()).unwrap();
        assert_eq!(mulaw.len(), 160);
        assert_eq!(mulaw[..80], tone[..80]);
    }

    #[test]
    fn other_rates_keep_their_length() {
        let second: Vec<f32> = (0..16_000).map(|n| (n as f32 / 16.0).sin()).collect();
        assert_eq!(resample(&second, 16_000).len(), 8000);
        assert_eq!(resample(&second, 4000).len(), 32_000);
    }

    #[test]
    fn what_is_no_wav_is_refused() {
        assert_eq!(to_mulaw(b"hello").unwrap_err(), "not a WAV file");
    }
}
