//! A text as the audio of a vendor: encoded, in chunks of uneven length, with the times of its words.

use crate::{g711, tone};

/// Lengths of chunks in samples of 8 kHz, in turn; odd on purpose.
const CHUNKS: [usize; 3] = [1001, 2403, 1607];

/// What a vendor was asked to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Mulaw,
    /// 16-bit little endian at this rate.
    Pcm(u32),
}

/// One message of audio.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub audio: Vec<u8>,
    /// How long it plays, ms.
    pub ms: u64,
    /// Words that begin in it: (word, start ms, end ms) from the text's start.
    pub words: Vec<(String, u64, u64)>,
}

/// Speaks a text.
pub(super) fn chunks(text: &str, encoding: Encoding) -> Vec<Chunk> {
    let audio = tone::speak(text);
    let mut words = words(text).into_iter().peekable();
    let (mut at, mut turn) = (0, 0);
    let mut chunks = Vec::new();
    while at < audio.len() {
        let end = (at + CHUNKS[turn % CHUNKS.len()]).min(audio.len());
        let until = g711::ms(end);
        let mut begun = Vec::new();
        while let Some(word) = words.next_if(|(_, start, _)| *start < until) {
            begun.push(word);
        }
        chunks.push(Chunk {
            audio: encode(&audio, at, end, encoding),
            ms: g711::ms(end - at),
            words: begun,
        });
        at = end;
        turn += 1;
    }
    chunks
}

/// Samples `at..end` of a whole text, so that rates meet at the borders of chunks.
fn encode(mulaw: &[u8], at: usize, end: usize, encoding: Encoding) -> Vec<u8> {
    let Encoding::Pcm(rate) = encoding else {
        return mulaw[at..end].to_vec();
    };
    let ratio = f64::from(rate) / g711::RATE as f64;
    let border = |sample: usize| (sample as f64 * ratio).round() as usize;
    let sample = |n: usize| f64::from(g711::decode(mulaw[n.min(mulaw.len() - 1)]));
    (border(at)..border(end))
        .flat_map(|n| {
            let place = n as f64 / ratio;
            let (whole, part) = (place as usize, place.fract());
            let value = sample(whole) * (1.0 - part) + sample(whole + 1) * part;
            (value as i16).to_le_bytes()
        })
        .collect()
}

/// Each word with start and end, ms.
pub(super) fn words(text: &str) -> Vec<(String, u64, u64)> {
    let mut at = 0;
    let mut words = Vec::new();
    for word in text.trim().split(' ') {
        let length = word.chars().count() as u64;
        if length > 0 {
            words.push((
                word.to_owned(),
                at * tone::CHAR_MS,
                (at + length) * tone::CHAR_MS,
            ));
        }
        at += length + 1;
    }
    words
}

/// Cuts off the sentences that are whole, as vendors do that don't wait for a flush.
pub(super) fn sentences(buffer: &mut String) -> Vec<String> {
    let mut sentences = Vec::new();
    while let Some(at) = buffer.find(['.', '?', '!']) {
        let rest = &buffer[at + 1..];
        if !rest.starts_with(' ') {
            break;
        }
        let rest = rest.trim_start().to_owned();
        sentences.push(buffer[..=at].trim().to_owned());
        *buffer = rest;
    }
    sentences
}
