//! The room for audio that waits to be played: how full it is, as far as carriers tell.

use super::{dialect::StreamNews, faults::CallFaults};
use crate::g711;

/// The room of one stream.
#[derive(Debug)]
pub(super) struct Room {
    /// Samples.
    pub size: u64,
    /// The most that was told, percent; beyond 100, audio was dropped.
    told: u8,
    is_full: bool,
}

impl Room {
    /// `usual`: what the carrier has, in samples.
    pub fn new(faults: &CallFaults, usual: u64) -> Self {
        let asked = faults.buffer_ms.map(|ms| ms * g711::RATE / 1000);
        Self {
            size: asked.unwrap_or(usual),
            told: 0,
            is_full: false,
        }
    }

    fn percent(&self, queued: u64) -> u64 {
        queued * 100 / self.size.max(1)
    }

    /// What is news when so many samples wait, each once a stream. `fits`: the last ones had room.
    pub fn news(&mut self, queued: u64, fits: bool) -> Option<StreamNews> {
        let level = match self.percent(queued) {
            _ if !fits => 101,
            90.. => 90,
            60.. => 60,
            30.. => 30,
            _ => 0,
        };
        if level <= self.told {
            return None;
        }
        self.told = level;
        Some(match fits {
            true => StreamNews::Filled(level),
            false => StreamNews::Overflown,
        })
    }

    /// True when hardly more has room from now on, false when much has again.
    pub fn turn(&mut self, queued: u64) -> Option<bool> {
        let percent = self.percent(queued);
        // Between the two it stays as it was, so that not every frame is news.
        let is_full = percent >= 90 || (self.is_full && percent >= 50);
        let turns = is_full != self.is_full;
        self.is_full = is_full;
        turns.then_some(is_full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second() -> Room {
        Room::new(&CallFaults::default(), g711::RATE)
    }

    #[test]
    fn each_level_is_told_once() {
        let mut room = second();
        let told: Vec<_> = [2000, 2400, 3000, 7900, 100, 7900]
            .into_iter()
            .filter_map(|queued| room.news(queued, true))
            .collect();
        assert_eq!(told, [StreamNews::Filled(30), StreamNews::Filled(90)]);
        assert_eq!(room.news(7999, false), Some(StreamNews::Overflown));
        assert_eq!(room.news(7999, false), None);
    }

    #[test]
    fn it_is_full_until_half_of_it_is_empty() {
        let mut room = second();
        let turns = [7000, 7200, 7900, 4100, 7900, 3900, 7000].map(|queued| room.turn(queued));
        let (full, free) = (Some(true), Some(false));
        assert_eq!(turns, [None, full, None, None, None, free, None]);
    }
}
