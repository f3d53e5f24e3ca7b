//! The file of a recording: a WAV whose header is refreshed while it grows, so that it can be read at
//! any time, also after a crash.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
};

pub(crate) const RATE: u32 = 8000;
/// Bytes of a stereo frame of two 16-bit samples.
pub(crate) const FRAME: u64 = 4;
const HEADER: u64 = 44;
/// The header is brought up to date each time this many bytes were written: two seconds.
const REFRESH: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Wav {
    file: File,
    /// Data bytes in the file.
    written: u64,
    /// Data bytes that the header tells of.
    told: u64,
}

impl Wav {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let mut wav = Self {
            file,
            written: 0,
            told: 0,
        };
        wav.file.write_all(&header(0))?;
        Ok(wav)
    }

    /// Opens a file that [`Wav::create`] made, to append. `None` if it is another kind of file. What was
    /// written after the header's last refresh is kept.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut found = [0; HEADER as usize];
        let length = file.metadata()?.len();
        if length < HEADER {
            return Ok(None);
        }
        file.read_exact(&mut found)?;
        let expected = header(0);
        // All but the two sizes, at 4 and at 40.
        if found[..4] != expected[..4] || found[8..40] != expected[8..40] {
            return Ok(None);
        }
        let written = (length - HEADER) / FRAME * FRAME;
        file.set_len(HEADER + written)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Some(Self {
            file,
            written,
            told: 0,
        }))
    }

    /// Stereo frames so far.
    pub(crate) fn frames(&self) -> u64 {
        self.written / FRAME
    }

    /// Writes whole stereo frames.
    pub(crate) fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)?;
        self.written += data.len() as u64;
        if self.written - self.told >= REFRESH {
            self.refresh()?;
        }
        Ok(())
    }

    /// Brings the header up to date.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.file.write_all_at(&header(self.written), 0)?;
        self.told = self.written;
        Ok(())
    }
}

/// RIFF header of PCM, 8 kHz, two channels of 16 bits, with so many bytes of data.
fn header(data: u64) -> [u8; HEADER as usize] {
    let data = u32::try_from(data).unwrap_or(u32::MAX - HEADER as u32);
    let mut header = [0; HEADER as usize];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(data + HEADER as u32 - 8).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &2_u16.to_le_bytes(),
        &RATE.to_le_bytes(),
        &(RATE * FRAME as u32).to_le_bytes(),
        &(FRAME as u16).to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
    ];
    let mut at = 0;
    for field in fields {
        header[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    header
}
