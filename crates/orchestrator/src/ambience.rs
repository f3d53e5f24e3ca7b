//! The sound of a room under all that a call sends (R164): a loop made by code, once a process, that goes on
//! through speech, pauses and cuts.

mod room;

use bolo_agent::Room;
use bolo_audio::{Format, g711};
use bytes::Bytes;

/// A place in a room's loop. See the module.
pub(crate) struct Ambience {
    format: Format,
    sound: &'static [i16],
    /// Samples of the format since the beginning.
    at: u64,
}

impl Ambience {
    pub(crate) fn of(room: Room, format: Format) -> Self {
        Self {
            format,
            sound: room::sound(room),
            at: 0,
        }
    }

    /// The room alone, as long as so many bytes.
    pub(crate) fn alone(&mut self, bytes: usize) -> Bytes {
        self.under(&vec![self.format.silence(); bytes])
    }

    /// Speech with the room under it.
    pub(crate) fn under(&mut self, speech: &[u8]) -> Bytes {
        let format = self.format;
        let mut mixed = |speech: i16| {
            let sum = i32::from(speech) + self.next();
            sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
        };
        let mut out = Vec::with_capacity(speech.len());
        match format {
            Format::Mulaw8k => {
                let codes = speech.iter();
                out.extend(codes.map(|code| g711::encode(mixed(g711::decode(*code)))));
            }
            Format::Pcm16 { .. } => {
                for sample in speech.chunks_exact(2) {
                    let sample = i16::from_le_bytes([sample[0], sample[1]]);
                    out.extend(mixed(sample).to_le_bytes());
                }
            }
        }
        out.into()
    }

    /// The next sample, at the format's rate.
    fn next(&mut self) -> i32 {
        let rate = u64::from(self.format.rate());
        let place = self.at * u64::from(room::RATE);
        self.at += 1;
        let sample = |index: u64| i64::from(self.sound[(index % self.sound.len() as u64) as usize]);
        let (index, rest) = (place / rate, (place % rate) as i64);
        let rate = rate as i64;
        ((sample(index) * (rate - rest) + sample(index + 1) * rest) / rate) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: [Room; 3] = [Room::CoffeeShop, Room::Office, Room::CallCenter];

    fn loudness(samples: &[i16]) -> f64 {
        let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        (sum / samples.len() as f64).sqrt()
    }

    #[test]
    fn a_room_is_soft_never_silent_and_has_no_seam() {
        for room in ROOMS {
            let sound = room::sound(room);
            let whole = loudness(sound);
            assert!((300.0..360.0).contains(&whole), "{room:?}: {whole}");
            for (index, part) in sound.chunks(room::RATE as usize / 2).enumerate() {
                let part = loudness(part);
                assert!(
                    part > whole / 4.0,
                    "{room:?}: {part} in half second {index}"
                );
            }
            let step = |a: i16, b: i16| (i32::from(a) - i32::from(b)).abs();
            let widest = sound.windows(2).map(|pair| step(pair[0], pair[1])).max();
            let seam = step(sound[0], sound[sound.len() - 1]);
            assert!(
                Some(seam) <= widest,
                "{room:?}: {seam}, {widest:?} elsewhere"
            );
        }
        assert_ne!(room::sound(ROOMS[0]), room::sound(ROOMS[1]));
    }

    #[test]
    fn speech_stays_what_it_is_above_the_room() {
        let format = Format::Pcm16 { rate: 8000 };
        let speech: Vec<u8> = [8000_i16, -8000, i16::MAX, 0]
            .map(i16::to_le_bytes)
            .concat();
        let mixed = Ambience::of(Room::Office, format).under(&speech);
        let room = room::sound(Room::Office);
        for (at, (speech, mixed)) in speech.chunks(2).zip(mixed.chunks(2)).enumerate() {
            let sample = |bytes: &[u8]| i32::from(i16::from_le_bytes([bytes[0], bytes[1]]));
            let sum = sample(speech) + i32::from(room[at]);
            assert_eq!(sample(mixed), sum.min(i32::from(i16::MAX)));
        }
    }

    #[test]
    fn the_loop_goes_on_from_piece_to_piece_and_begins_again_at_every_rate() {
        for rate in [8000, 16_000, 24_000] {
            let format = Format::Pcm16 { rate };
            let second = format.bytes_per_second();
            let length = room::sound(Room::CoffeeShop).len() / room::RATE as usize;
            let mut room = Ambience::of(Room::CoffeeShop, format);
            let first: Vec<u8> = (0..10).flat_map(|_| room.alone(second / 10)).collect();
            assert_eq!(first, Ambience::of(Room::CoffeeShop, format).alone(second));
            room.alone(second * (length - 1));
            assert_eq!(room.alone(second), first, "at {rate} Hz");
        }
    }
}
